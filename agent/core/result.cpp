// SPDX-License-Identifier: Apache-2.0
#include "core/result.h"

#include <system_error>

namespace sluice {

std::string to_string(const Place& place) {
    std::string text = place.file;
    if (place.line > 0) text += ":" + std::to_string(place.line);
    if (place.line > 0 && place.column > 0) text += ":" + std::to_string(place.column);
    return text;
}

Error Error::from_errno(int err, std::string_view doing) {
    Error error(Failure::failed, std::generic_category().message(err));
    error.errno_ = err;
    error.doing_ = doing;
    return error;
}

Error Error::during(std::string_view step) && {
    doing_ = doing_.empty() ? std::string(step) : std::string(step) + ": " + doing_;
    return std::move(*this);
}

Error Error::hint(std::string text) && {
    hint_ = std::move(text);
    return std::move(*this);
}

Error Error::at(Place place) && {
    where_.push_back(std::move(place));
    return std::move(*this);
}

Error Error::as(Failure failure) && {
    failure_ = failure;
    return std::move(*this);
}

std::string Error::message() const { return doing_.empty() ? why_ : doing_ + ": " + why_; }

}  // namespace sluice
