// SPDX-License-Identifier: Apache-2.0
#include "cli/changes.h"

#include <array>
#include <optional>
#include <ostream>
#include <span>

#include "cli/input.h"
#include "cli/render.h"

namespace sluice::cli {

namespace {

constexpr std::int64_t shown_changes = 20;  // of each kind; a reload may add a million
constexpr std::array lists = {"added", "moved", "removed"};

// One JSON document, written while its lists come in: those of a million changes at once would
// take a gigabyte.
class Document {
  public:
    explicit Document(std::ostream& out) : out_(out) {}

    void add(const Json& part) {
        if (!begun_) out_ << "{\"added\":[";
        begun_ = true;
        for (std::size_t list = 0; list < lists.size(); ++list)
            for (const Json& change : list_of(part, lists[list])) {
                go_to(list);
                out_ << (empty_ ? "" : ",") << one_line(change);
                empty_ = false;
            }
        rest_ = part;
    }
    void end(const Json& more) {
        go_to(lists.size() - 1);
        for (const char* list : lists) rest_.erase(list);
        rest_.update(more);
        // The first brace of what is left is a comma here.
        out_ << "]," << one_line(rest_).substr(1) << '\n';
    }

  private:
    // The parts come in the order of the lists.
    void go_to(std::size_t list) {
        for (; at_ < list; empty_ = true) out_ << "],\"" << lists[++at_] << "\":[";
    }
    std::ostream& out_;
    Json rest_;
    std::size_t at_ = 0;
    bool begun_ = false, empty_ = true;
};

Result<> stream(Session& session, const ChangeCall& call,
                const std::function<void(const Json&)>& part) {
    auto connected = session.agent();
    if (!connected) return pass_on(connected);
    std::optional<Waiting> waiting(std::in_place, session, call.command);
    const std::span<const int> descriptors(&call.descriptor, call.descriptor < 0 ? 0 : 1);
    return (*connected)->stream(call.method, call.parameters, descriptors, [&](const Json& one) {
        waiting.reset();  // the answer has the screen for itself
        part(one);
    });
}

int refused(Session& session, const ChangeCall& call, const Json& head) {
    return session.explain_failure(refusal(head, call.command),
                                   render_refused(head, session.look()));
}

Result<int> run_json(Session& session, const ChangeCall& call) {
    Document document(session.world().out);
    Json last;
    auto ok = stream(session, call, [&](const Json& part) {
        document.add(part);
        last = part;
    });
    if (!ok) return pass_on(ok);
    if (call.seen) call.seen(last);
    if (list_of(last, "refused_by").empty()) {
        document.end(Json::object());
        return 0;
    }
    document.end(error_document(refusal(last, call.command)));
    return refused(session, call, last);
}

void print_lines(Session& session, const std::function<Lines(const Json&)>& lines,
                 const Json& reply) {
    if (lines) session.print(lines(reply));
}

Result<int> run_text(Session& session, const ChangeCall& call) {
    Json last;
    bool first = true;
    const auto show = [&](const Json& part) {
        if (first) print_lines(session, call.before, part);
        if (call.all) session.print(render_change_lists(part, session.look()));
    };
    auto ok = stream(session, call, [&](const Json& part) {
        // What a guard refused is no change; a plan is shown all the same.
        if (call.method == "Plan" || list_of(part, "refused_by").empty()) show(part);
        first = false;
        last = part;
    });
    if (!ok) return pass_on(ok);
    if (call.seen) call.seen(last);
    const bool is_refused = !list_of(last, "refused_by").empty();
    if (call.method == "Plan" || !is_refused)
        session.print(call.all ? render_change_summary(last, session.look())
                               : render_changes(last, session.look()));
    if (is_refused) return refused(session, call, last);
    print_lines(session, call.after, last);
    return 0;
}

}  // namespace

Result<int> run_change(Session& session, ChangeCall& call) {
    if (session.json()) return run_json(session, call);
    if (!call.all) call.parameters["changes"] = shown_changes;
    return run_text(session, call);
}

Result<> add_allow(Json& parameters, const std::string& allow) {
    if (allow.empty()) return {};
    auto words = parse_allow(allow);
    if (!words) return pass_on(words);
    parameters["allow"] = *words;
    return {};
}

}  // namespace sluice::cli
