// SPDX-License-Identifier: Apache-2.0
#include "kernel/map.h"

#include <bpf/bpf.h>

namespace sluice::kernel::raw {

int update(int fd, const void* key, const void* value) {
    return bpf_map_update_elem(fd, key, value, BPF_ANY);
}
int lookup(int fd, const void* key, void* value) { return bpf_map_lookup_elem(fd, key, value); }
int erase(int fd, const void* key) { return bpf_map_delete_elem(fd, key); }
int next_key(int fd, const void* key, void* next) { return bpf_map_get_next_key(fd, key, next); }

int update_batch(int fd, const void* keys, const void* values, std::uint32_t& count) {
    DECLARE_LIBBPF_OPTS(bpf_map_batch_opts, options);
    return bpf_map_update_batch(fd, keys, values, &count, &options);
}

}  // namespace sluice::kernel::raw
