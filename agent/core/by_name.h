// SPDX-License-Identifier: Apache-2.0
// Values by name, for a million names of which most are copies of a few.
#pragma once

#include <map>
#include <string>
#include <unordered_map>

#include "core/shared_text.h"

namespace sluice {

// Like std::map<std::string, Value>, but a name that is a copy of one that was asked for before is
// found by its address. The names must outlive it.
template <class Value>
class ByName {
  public:
    Value& operator[](const SharedText& name) {
        const std::string* address = &*name;
        if (address == last_) return *value_;
        Value*& known = known_[address];
        if (known == nullptr) known = &values_[*name];
        last_ = address;
        value_ = known;
        return *value_;
    }
    // All of them, by name. It holds none afterwards.
    std::map<std::string, Value> take() {
        known_.clear();
        last_ = nullptr;
        return std::exchange(values_, {});
    }

  private:
    std::map<std::string, Value> values_;
    std::unordered_map<const std::string*, Value*> known_;
    const std::string* last_ = nullptr;
    Value* value_ = nullptr;
};

}  // namespace sluice
