// SPDX-License-Identifier: Apache-2.0
// The dispatcher of one network namespace: program, maps and link, adopted or made.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernel/maps.h"
#include "kernel/object.h"
#include "kernel/pins.h"

namespace sluice::kernel {

struct Site {
    std::string directory;               // Sluice's own directory in a mounted bpffs
    std::uint32_t capacity = 1'000'000;  // distinct (protocol, prefix) pairs
    bool attach = true;                  // false: a dispatcher that is made is left detached
    ProgramImage image = ProgramImage::dispatcher();
};

class Dispatcher {
  public:
    // For the network namespace of the calling thread. Adopts what is pinned, upgrading the program
    // by a link update when ours is another; makes everything when nothing is pinned. Refuses pins
    // of another namespace or layout, kernels before 5.10 and a bpffs that is not mounted, each by
    // name.
    static Result<Dispatcher> open(const Site& site);

    const Maps& maps() const { return maps_; }
    Maps& maps() { return maps_; }
    const std::string& directory() const { return pins_.current(); }
    bool adopted() const { return adopted_; }    // there were pins
    bool upgraded() const { return upgraded_; }  // and the program in them was another
    bool relinked() const { return relinked_; }  // and somebody had removed the link
    std::uint32_t capacity() const { return capacity_; }
    std::uint32_t program_id() const { return program_id_; }

    // Another size of the index, in two steps. The first loads the same program over the same maps,
    // but for an index that is empty; it takes some 100 ms, on any thread, one at a time, while the
    // owner's goes on. The second puts it in the attached one's place: `fill` writes the new maps,
    // which are maps().index by then, before any lookup reads them.
    Result<std::string> prepare_index(const IndexSizes& sizes) const;
    Result<> adopt_index(const std::string& prepared, const std::function<void()>& fill);
    // A copy of the program that nobody's traffic reaches.
    Result<ProgramCopy> load_copy(const sluice_constants& constants, Counting counting) const {
        return kernel::load_copy(site_.image, directory(), constants, counting);
    }

    // Takes the link away, and puts it back; maps, sockets and bindings stay. What is so already is
    // no failure. `attached` is remembered in the pins.
    Result<> detach();
    Result<> attach();
    bool attached() const { return maps_.state().detached == 0; }

    // Waits until no program run that began before the call is still under way: 8 ms typically,
    // more on a busy machine. Safe from any thread.
    Result<> grace_period() const;

    // Ids of sk_lookup programs in the namespace that are not ours, in the order they run.
    Result<std::vector<std::uint32_t>> foreign_programs() const;

  private:
    Dispatcher(Site site, PinDirectory pins, Maps maps)
        : site_(std::move(site)), pins_(std::move(pins)), maps_(std::move(maps)) {}
    Result<> prepare_grace();
    Result<> ensure_attached();
    Result<> load_ids();

    Site site_;
    PinDirectory pins_;
    Maps maps_;
    Fd grace_outer_, grace_inner_;
    std::uint32_t capacity_ = 0;
    std::uint32_t program_id_ = 0;
    bool adopted_ = false, upgraded_ = false, relinked_ = false;
};

}  // namespace sluice::kernel
