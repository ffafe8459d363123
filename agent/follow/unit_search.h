// SPDX-License-Identifier: Apache-2.0
// Looks into the processes of a unit: which of the sockets that are wanted they hold, and hands
// those over. Nothing else is taken from them.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/follow.h"
#include "core/result.h"
#include "sys/cgroup.h"

namespace sluice {

class UnitSearch {
  public:
    // Looks for these sockets (inodes) in the processes of a control group, the oldest first, until
    // all are found. On failure it has what was found before.
    Result<> look_into(const std::string& group, std::set<std::uint64_t> inodes);
    const Holders& found() const { return found_; }

    // A duplicate of exactly this socket. An Fd that is not open when the process has closed it
    // meanwhile, or its descriptor has become another socket's.
    Result<Fd> take(const Taking& taking) const;

  private:
    Holders found_;
    std::map<std::int32_t, Fd> pidfds_;  // of those that hold something
};

// What the processes of a group listen on, sorted, at most `most`: for people.
std::vector<ListenTriple> listening_in(const std::string& group,
                                       const std::vector<ListedSocket>& all, std::size_t most);

}  // namespace sluice
