// SPDX-License-Identifier: Apache-2.0
#include "cli/render.h"

namespace sluice::cli {

namespace {

// `3d, "INC-4711"`, with who did it when the agent knows.
std::string runtime_origin(const Json& binding, const Look& look) {
    std::string text = author_of(field(binding, "by"), look);
    const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
    const auto since = number_of(binding, "since");
    if (since && *since > 0) add(short_age(look.now - *since));
    const std::string note = text_of(binding, "note");
    if (!note.empty()) add(quoted(note));
    return text;
}

bool same_match(const BindingRow& a, const BindingRow& b) {
    return a.protocol == b.protocol && a.prefix == b.prefix && a.port == b.port;
}

std::string footer(std::size_t shown, std::int64_t total) {
    const auto count = static_cast<std::int64_t>(shown);
    if (total == 0 && count == 0) return "no bindings";
    if (count >= total) return counted(count, "binding");
    return grouped(count) + " of " + counted(total, "binding");
}

}  // namespace

BindingRow binding_row(const Json& binding, const Look& look) {
    BindingRow row;
    row.protocol = text_of(binding, "protocol");
    row.prefix = text_of(binding, "prefix");
    row.port = text_of(binding, "port");
    row.target = target_of(binding);
    row.owner = text_of(binding, "owner");
    row.where = source_of(binding);
    if (row.where.empty()) row.where = runtime_origin(binding, look);
    row.shadowed = flag_of(binding, "shadowed");
    return row;
}

Lines render_bindings(const std::vector<BindingRow>& rows, std::int64_t total, const Look& look) {
    Table table({{"PROTO"},
                 {"PREFIX", false, 16, true},
                 {"PORT"},
                 {"SERVICE", false, 0, true},
                 {"OWNER"},
                 {"WHERE"}});
    const BindingRow* before = nullptr;
    std::size_t waiting = 0;
    for (const BindingRow& row : rows) {
        if (row.shadowed) ++waiting;
        if (row.shadowed && before != nullptr && same_match(*before, row)) {
            const Cell over{"over " + row.target, Paint::dim, 2};
            table.row({{""}, {""}, {""}, over, {row.where, Paint::dim}});
            continue;
        }
        const std::string behind = row.shadowed ? ", waits behind a runtime binding" : "";
        table.row({{row.protocol},
                   {row.prefix},
                   {row.port},
                   {row.target},
                   {row.owner},
                   {row.where + behind}});
        before = &row;
    }
    Lines lines;
    if (!table.empty()) lines = table.lines(look);
    const bool alone = rows.size() == waiting;  // only waiting ones were asked for
    lines.push_back(footer(alone ? rows.size() : rows.size() - waiting, total));
    return lines;
}

}  // namespace sluice::cli
