// SPDX-License-Identifier: Apache-2.0
// Wires the real world together and returns.
#include <filesystem>

#include "cli/commands.h"
#include "cli/offline.h"
#include "cli/real_world.h"
#include "control/varlink_client.h"
#include "sys/cgroup.h"
#include "sys/files.h"
#include "sys/host_addresses.h"
#include "sys/process.h"
#include "sys/systemd.h"

namespace sluice::cli {
namespace {

// The control socket as an Agent.
class VarlinkAgent : public Agent {
  public:
    explicit VarlinkAgent(VarlinkClient client) : client_(std::move(client)) {}

    Result<Json> call(std::string_view method, const Json& parameters,
                      std::span<const int> fds) override {
        return client_.call(method, parameters, fds);
    }
    Result<> stream(std::string_view method, const Json& parameters, std::span<const int> fds,
                    const std::function<void(const Json&)>& part) override {
        return client_.call_more(method, parameters, fds, part);
    }

  private:
    VarlinkClient client_;
};

Result<std::unique_ptr<Agent>> connect(const std::string& path, std::chrono::milliseconds timeout) {
    auto client = VarlinkClient::connect(path, timeout);
    if (!client) return pass_on(client);
    return std::make_unique<VarlinkAgent>(std::move(*client));
}

CheckedConfig check(const std::string& path) {
    RealConfigFiles files(path);
    return check_config(files, path);
}

Result<std::vector<TakenSocket>> take_unit(const std::string& cgroup_root, const std::string& unit,
                                           const std::vector<ListenTriple>& triples) {
    auto group = find_unit(cgroup_root.empty() ? default_cgroup_root() : cgroup_root, unit);
    if (!group) return pass_on(group);
    if (!*group)
        return fail(Error(Failure::invalid, unit + " is not running")
                        .hint("systemctl status " + unit + " (units of users are not looked for)"));
    return take_unit_sockets(unit, **group, triples);
}

Gathered gather(const std::string& path) {
    // As the agent knows it, wherever that runs.
    const std::string absolute = std::filesystem::absolute(path).lexically_normal().string();
    RealConfigFiles files(absolute);
    RecordedFiles recorded(files);
    CheckedConfig checked = check_config(recorded, absolute);
    return {std::move(checked), recorded.bundle(), absolute};
}

World world() {
    World world = real_world();
    world.connect = connect;
    world.pins = {offline_status, offline_bindings, offline_explain};
    world.check = check;
    world.gather = gather;
    world.seal = [](std::string_view content) { return sealed_file("sluice-config", content); };
    world.host_addresses = [] { return host_addresses().value_or(std::vector<Address>()); };
    world.passed = passed_descriptors;
    world.take = take_sockets;
    world.take_unit = take_unit;
    return world;
}

}  // namespace
}  // namespace sluice::cli

int main(int argc, char** argv) {
    auto world = sluice::cli::world();
    return sluice::cli::run({argv + 1, argv + argc}, world);
}
