// SPDX-License-Identifier: Apache-2.0
// What a change costs the kernel: counted, each element of each operation on a map.
#include <iostream>

#include <spdlog/spdlog.h>

#include "faults/changing_agent.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

struct Counts {
    std::size_t operations = 0, elements = 0;
};

class Counting : public Witness {
  public:
    Fault before(const Operation& operation) override {
        if (!operation.call.starts_with("map ")) return {};
        ++counts.operations;
        if (operation.subject != "sluice_grace") counts.elements += operation.elements;
        return {};
    }
    Counts counts;
};

class MapOperations : public ChangingAgent {
  protected:
    static constexpr int bindings = 100'000;

    void SetUp() override {
        ChangingAgent::SetUp();
        spdlog::set_level(spdlog::level::off);
        AgentTest::write_config(
            "services: {www: {}, dns: {}}\nbindings:\n"
            "  - {service: www, protocol: tcp, prefixes_from: www.txt, port: 80}\n"
            "  - {service: dns, protocol: tcp, prefixes_from: dns.txt, port: 80}\n");
        give_to_dns(1);
        start_serving();
    }
    // So many of the prefixes to `dns`, those that are spread evenly, and the others to `www`.
    void give_to_dns(int many) const {
        std::ofstream www(scratch() + "/www.txt"), dns(scratch() + "/dns.txt");
        const int each = bindings / many;
        for (int i = 0; i < bindings; ++i)
            (i % each == 0 ? dns : www)
                << "10." << i / 65536 << "." << i / 256 % 256 << "." << i % 256 << "\n";
    }
    template <class Change>
    static Counts count(const Change& change) {
        Counting counting;
        const Witnessed witnessed(counting);
        change();
        return counting.counts;
    }
};

TEST_F(MapOperations, AreInProportionToWhatChangesAndNotToWhatIsThere) {
    ASSERT_EQ(table().size(), static_cast<std::size_t>(bindings));
    for (const int many : {2, 10, 100, 10, 1000, 1}) {
        give_to_dns(many);
        std::size_t changed = 0;
        const Counts first = count([&] { changed = must(reload()).moved.size(); });
        const Counts second = count([&] { EXPECT_TRUE(finish_grace()); });
        EXPECT_GT(changed, 0U);
        EXPECT_EQ(first.elements, changed) << "each once, before the flip";
        EXPECT_EQ(second.elements, changed) << "and once after the grace period";
        EXPECT_LE(first.operations, 1 + changed / 1000);
        EXPECT_LE(second.operations, 2 + changed / 1000) << "with the grace period itself";
        std::cout << changed << " of " << bindings << " bindings changed: " << first.operations
                  << " + " << second.operations << " operations on "
                  << first.elements + second.elements << " elements\n";
    }
}

TEST_F(MapOperations, AreNoneWhenAReloadChangesNothing) {
    const std::uint64_t before = generation();
    const Counts same = count([&] {
        EXPECT_FALSE(must(reload()).changes());
        EXPECT_TRUE(finish_grace());
    });
    EXPECT_EQ(same.operations, 0U);
    // From other lines of the file, the same bindings.
    std::ofstream(scratch() + "/dns.txt", std::ios::app) << "# a remark\n";
    const Counts other_lines = count([&] {
        EXPECT_FALSE(must(reload()).changes());
        EXPECT_TRUE(finish_grace());
    });
    EXPECT_EQ(other_lines.operations, 0U);
    EXPECT_EQ(generation(), before);
}

// So that counting nothing at all would be noticed.
TEST_F(MapOperations, AreManyWhereMuchChanges) {
    give_to_dns(bindings / 2);
    std::size_t changed = 0;
    const Counts half = count([&] { changed = must(reload()).moved.size(); });
    EXPECT_GE(changed, static_cast<std::size_t>(bindings / 2 - 1));
    EXPECT_EQ(half.elements, changed);
    EXPECT_GT(half.operations, 5U);
}

}  // namespace
}  // namespace sluice
