/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout that programs were compiled with, on machines of 64 bits. It never changes: a member
 * that is needed takes some of `reserved`, in front.
 */
#include "sluice/sluice.h"

#define ALWAYS(name, condition) typedef char name[(condition) ? 1 : -1]

#if UINTPTR_MAX == UINT64_MAX
ALWAYS(options_size, sizeof(struct sluice_options) == 56);
ALWAYS(options_run_dir, offsetof(struct sluice_options, run_dir) == 0);
ALWAYS(options_instance, offsetof(struct sluice_options, instance) == 8);
ALWAYS(options_timeout_ms, offsetof(struct sluice_options, timeout_ms) == 16);
ALWAYS(options_owner_pid, offsetof(struct sluice_options, owner_pid) == 20);
ALWAYS(options_reserved, offsetof(struct sluice_options, reserved) == 24);
#endif
ALWAYS(report_size, sizeof(struct sluice_report) == 3664);
ALWAYS(report_added, offsetof(struct sluice_report, added) == 0);
ALWAYS(report_present, offsetof(struct sluice_report, present) == 4);
ALWAYS(report_removed, offsetof(struct sluice_report, removed) == 8);
ALWAYS(report_warnings, offsetof(struct sluice_report, warnings) == 12);
ALWAYS(report_text, offsetof(struct sluice_report, text) == 16);
ALWAYS(report_hint, offsetof(struct sluice_report, hint) == 1040);
ALWAYS(report_warning_text, offsetof(struct sluice_report, warning_text) == 1552);
ALWAYS(report_reserved, offsetof(struct sluice_report, reserved) == 3600);
ALWAYS(codes, SLUICE_DONE == 0 && SLUICE_FAILED == 1 && SLUICE_INVALID == 2 &&
                  SLUICE_UNREACHABLE == 3 && SLUICE_REFUSED == 4 && SLUICE_UNANSWERED == 5);

/* Every function as the header declares it: a program in C that links. */
int layout_uses_all(void);
int layout_uses_all(void) {
    struct sluice_options options = {0};
    struct sluice_report report;
    int none = -1;
    options.run_dir = "/nonexistent";
    return sluice_register(&options, "s", &none, 1, &report) +
           sluice_replace(&options, "s", &none, 1, &report) +
           sluice_stage(&options, "s", &none, 1, &report) + sluice_promote(&options, "s", &report) +
           sluice_demote(&options, "s", &report) + sluice_unregister(&options, "s", none, &report) +
           sluice_unregister_all(&options, "s", &report) + (sluice_version()[0] == '\0');
}
