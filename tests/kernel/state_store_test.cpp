// SPDX-License-Identifier: Apache-2.0
// Generations on disk, and what becomes of them when the disk is full or lies.
#include "daemon/state_store.h"

#include <filesystem>
#include <fstream>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include "support/world.h"
#include "sys/files.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
namespace fs = std::filesystem;

Generation generation(std::uint64_t number) {
    Generation made;
    made.number = number;
    made.base = number - 1;
    made.time = 1'700'000'000;
    made.cause = "bind";
    made.note = "INC-4711";
    made.by = {0, -1, 812, "sluicectl"};
    made.services["www"] = {};
    made.runtime = bindings({"tcp 192.0.2.0/24 443 www runtime"});
    return made;
}

class StateStoreTest : public FreshWorld {
  protected:
    std::string directory() const { return scratch() + "/state"; }
    StateStore open(StoreLimits limits = {}) const {
        return must(StateStore::open(directory(), limits));
    }
    static std::vector<std::uint64_t> numbers(const StateStore& store, std::uint64_t current) {
        std::vector<std::uint64_t> list;
        for (const Record& record : store.history(current)) list.push_back(record.number);
        return list;
    }
    std::string path(const std::string& number) const {
        return directory() + "/generations/" + number;
    }
    static void put(const std::string& path, const std::string& text) {
        std::ofstream(path, std::ios::trunc) << text;
    }
    // The last generation, then what is in its file instead of it.
    Result<Generation> load_damaged(const std::string& text) const {
        StateStore store = open();
        put(path("43"), text);
        auto loaded = store.load(43);
        fs::remove(path("43.damaged"));
        return loaded;
    }
};

TEST_F(StateStoreTest, IsNobodyElses) {
    (void)open();
    for (const std::string& each : {directory(), directory() + "/generations"}) {
        struct stat info{};
        ASSERT_EQ(::stat(each.c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 07777U, 0700U);
    }
    must(open().save(generation(1)));
    struct stat info{};
    ASSERT_EQ(::stat(path("1").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0600U);
}

TEST_F(StateStoreTest, WhatWasSavedIsLoadedByAnother) {
    must(open().save(generation(43)));
    must(open().set_current(43));
    EXPECT_EQ(open().current(), 43U);
    const Generation loaded = must(open().load(43));
    EXPECT_EQ(serialize(loaded, {}), serialize(generation(43), {}));
    EXPECT_EQ(loaded.note, "INC-4711");
    EXPECT_EQ(loaded.runtime.size(), 1U);
}

TEST_F(StateStoreTest, AnEmptyOneHasNothing) {
    StateStore store = open();
    EXPECT_EQ(store.current(), std::nullopt);
    EXPECT_EQ(store.highest(), 0U);
    EXPECT_FALSE(store.detached());
    EXPECT_FALSE(store.load(1));
}

// One that the config made, with bindings of its own.
Generation of_config(std::uint64_t number, const std::string& prefix) {
    Generation made = generation(number);
    made.cause = "reload";
    made.config = bindings({"tcp " + prefix + " 80 www", "tcp " + prefix + " 81 www"});
    return made;
}

TEST_F(StateStoreTest, KeepsTheNewestOfEachOwner) {
    StateStore store = open({.of_config = 3, .of_runtime = 2});
    for (std::uint64_t number = 1; number <= 20; ++number) {
        Generation made = of_config(number, "10." + std::to_string(number) + ".0.0/16");
        if (number % 2 == 0) made.owner = Owner::runtime;
        must(store.save(made));
        must(store.set_current(number));
    }
    EXPECT_THAT(numbers(store, 20), ::testing::ElementsAre(15, 17, 18, 19, 20));
    EXPECT_FALSE(store.load(14));
    EXPECT_EQ(store.highest(), 20U);
    EXPECT_THAT(numbers(open(), 20), ::testing::ElementsAre(15, 17, 18, 19, 20));
}

TEST_F(StateStoreTest, KeepsWhatAnswersAndWhatARollbackNeedsWhateverTheLimit) {
    StateStore store = open({.bytes = 1});
    for (std::uint64_t number = 1; number <= 5; ++number) {
        must(store.save(of_config(number, "10." + std::to_string(number) + ".0.0/16")));
        must(store.set_current(number));
    }
    EXPECT_THAT(numbers(store, 5), ::testing::ElementsAre(4, 5)) << "5 answers, 4 is before it";
    EXPECT_TRUE(store.load(4));
    Generation pending = of_config(6, "10.6.0.0/16");
    pending.pending = {4, 100, "boot"};
    must(store.save(pending));
    must(store.set_current(6));
    EXPECT_THAT(numbers(store, 6), ::testing::ElementsAre(4, 5, 6)) << "6 may return to 4";
}

TEST_F(StateStoreTest, GenerationsShareTheTableThatTheyHaveInCommon) {
    StateStore store = open();
    Generation first = of_config(1, "10.1.0.0/16");
    must(store.save(first));
    must(store.set_current(1));
    Generation second = first;
    second.number = 2;
    second.base = 1;
    must(store.save(second));
    const auto tables = [&] {
        return std::distance(fs::directory_iterator(directory() + "/tables"), {});
    };
    EXPECT_EQ(tables(), 1);
    StateStore other = open();
    const Generation loaded = must(other.load(1));
    EXPECT_EQ(loaded.config.size(), 2U);
    EXPECT_TRUE(must(other.load(2)).config.shares(loaded.config)) << "in memory too";
    must(other.save(of_config(3, "10.3.0.0/16")));
    EXPECT_EQ(tables(), 2);
    other.drop(3);
    EXPECT_EQ(tables(), 1) << "what nobody needs is gone";
}

TEST_F(StateStoreTest, ADamagedTableIsSetAsideAndCostsOnlyItsGenerations) {
    must(open().save(of_config(1, "10.1.0.0/16")));
    must(open().save(of_config(2, "10.2.0.0/16")));
    put(directory() + "/tables/2", "nonsense");
    StateStore store = open();
    EXPECT_FALSE(store.load(2));
    EXPECT_TRUE(store.load(1));
    must(store.save(of_config(3, "10.3.0.0/16")));
    EXPECT_EQ(must(open().load(3)).config.size(), 2U);
    // A table under another's number is nobody's.
    fs::copy_file(directory() + "/tables/1", directory() + "/tables/3",
                  fs::copy_options::overwrite_existing);
    EXPECT_FALSE(open().load(3));
}

TEST_F(StateStoreTest, WhatWasStoredAndNeverMadeActiveIsNoHistory) {
    StateStore store = open();
    must(store.save(of_config(1, "10.1.0.0/16")));
    must(store.set_current(1));
    must(store.save(of_config(2, "10.2.0.0/16")));  // killed before it answered
    Generation third = of_config(3, "10.3.0.0/16");
    third.base = 1;
    must(store.save(third));
    must(store.set_current(3));
    EXPECT_THAT(numbers(store, 3), ::testing::ElementsAre(1, 3));
    EXPECT_FALSE(store.load(2));
}

TEST_F(StateStoreTest, AFlippedBitAnywhereIsNoticed) {
    const std::string whole = serialize(generation(43), {});
    ASSERT_TRUE(load_damaged(whole)) << "undamaged";
    for (std::size_t at = 0; at < whole.size(); ++at) {
        std::string flipped = whole;
        flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
        ASSERT_FALSE(load_damaged(flipped)) << "byte " << at;
    }
}

TEST_F(StateStoreTest, ACutAnywhereIsNoticedAndSoIsWhatIsTooMuch) {
    const std::string whole = serialize(generation(43), {});
    for (std::size_t size = 0; size < whole.size(); ++size)
        ASSERT_FALSE(load_damaged(whole.substr(0, size))) << size << " bytes";
    EXPECT_FALSE(load_damaged(whole + "\n"));
    EXPECT_FALSE(load_damaged(whole + whole));
    EXPECT_FALSE(load_damaged(std::string(1'000'000, '\0')));
}

TEST_F(StateStoreTest, ADamagedGenerationIsSetAsideAndTheErrorSaysWhere) {
    StateStore store = open();
    must(store.save(generation(42)));
    must(store.save(generation(43)));
    must(store.set_current(43));
    put(path("43"), "nonsense");
    const auto loaded = store.load(43);
    ASSERT_FALSE(loaded);
    EXPECT_NE(loaded.error().message().find(path("43") + " (set aside as .damaged)"),
              std::string::npos)
        << loaded.error().message();
    EXPECT_FALSE(fs::exists(path("43")));
    EXPECT_EQ(must(read_file(path("43.damaged"), 100)), "nonsense");
    EXPECT_EQ(store.highest(), 43U) << "its number is not given to another";
    EXPECT_TRUE(store.load(42));
}

TEST_F(StateStoreTest, AGenerationUnderAnothersNumberIsNotThatOne) {
    StateStore store = open();
    must(store.save(generation(42)));
    fs::copy_file(path("42"), path("43"));
    EXPECT_FALSE(store.load(43));
    EXPECT_TRUE(fs::exists(path("43.damaged")));
    EXPECT_TRUE(store.load(42));
}

TEST_F(StateStoreTest, WhatIsNoGenerationFileIsAnErrorAndNoneOfTheirs) {
    StateStore store = open();
    must(store.save(generation(5)));
    fs::create_directory(path("7"));
    put(path("6.tmp"), "cut off");
    put(path("notes"), "mine");
    put(path("-1"), "");
    EXPECT_FALSE(store.load(7));
    ASSERT_EQ(::truncate((path("5") + "0").c_str(), 0), -1);
    put(path("50"), "");
    ASSERT_EQ(::truncate(path("50").c_str(), off_t{1} << 43), 0);
    EXPECT_FALSE(store.load(50)) << "8 TiB of nothing";
    EXPECT_TRUE(store.load(5));
    EXPECT_TRUE(fs::exists(path("notes")));
}

TEST_F(StateStoreTest, ADamagedCurrentIsNoNumber) {
    StateStore store = open();
    must(store.save(generation(43)));
    for (const std::string& text :
         {std::string(), std::string("\n"), std::string("c3\n"), std::string("4 3\n"),
          std::string("-43\n"), std::string("99999999999999999999999\n"), std::string(1000, '4')}) {
        put(directory() + "/current", text);
        EXPECT_EQ(store.current(), std::nullopt) << text;
        EXPECT_EQ(store.highest(), 43U);
    }
}

TEST_F(StateStoreTest, WithoutSpaceWhatWasThereStays) {
    fs::create_directory(directory());
    ASSERT_EQ(::mount("small", directory().c_str(), "tmpfs", 0, "size=64k"), 0);
    StateStore store = open();
    must(store.save(generation(1)));
    must(store.set_current(1));
    Generation large = generation(2);
    large.note = std::string(100'000, 'x');
    EXPECT_FALSE(store.save(large));
    EXPECT_EQ(store.highest(), 1U);
    EXPECT_EQ(store.current(), 1U);
    EXPECT_TRUE(store.load(1));
    must(store.save(generation(2)));
    ASSERT_EQ(::umount2(directory().c_str(), MNT_DETACH), 0);
}

TEST_F(StateStoreTest, RemembersThatItIsDetached) {
    must(open().set_detached(true));
    must(open().set_detached(true));
    EXPECT_TRUE(open().detached());
    must(open().set_detached(false));
    must(open().set_detached(false));
    EXPECT_FALSE(open().detached());
}

}  // namespace
}  // namespace sluice
