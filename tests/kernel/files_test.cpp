// SPDX-License-Identifier: Apache-2.0
// Files as they are found in the world: missing, endless, half written, in the way.
#include "sys/files.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/world.h"
#include "sys/fd.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
namespace fs = std::filesystem;

mode_t mode_of(const std::string& path) {
    struct stat info{};
    EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777U;
}

class FilesTest : public FreshWorld {
  protected:
    void SetUp() override {
        FreshWorld::SetUp();
        directory_ = scratch() + "/files";
        fs::create_directory(directory_);
        ::umask(022);
    }
    void TearDown() override {
        ::umount2(directory_.c_str(), MNT_DETACH);  // where make_small() was called
        FreshWorld::TearDown();
    }
    std::string at(const std::string& name) const { return directory_ + "/" + name; }
    std::string made(const std::string& name, const std::string& content) const {
        fs::create_directories(fs::path(at(name)).parent_path());
        std::ofstream(at(name)) << content;
        return at(name);
    }
    std::size_t entries() const {
        return static_cast<std::size_t>(
            std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
    }
    // The directory as a file system that is full after some 64 KiB.
    void make_small() const {
        ASSERT_EQ(::mount("small", directory_.c_str(), "tmpfs", 0, "size=64k"), 0);
    }

  private:
    std::string directory_;
};

TEST_F(FilesTest, AFileIsReadWholeUpToItsLimit) {
    EXPECT_EQ(must(read_file(made("empty", ""), 0)), "");
    const std::string nul("a\0b\n", 4);
    EXPECT_EQ(must(read_file(made("bytes", nul), 4)), nul);
    const std::string large(200'000, 'x');
    EXPECT_EQ(must(read_file(made("large", large), large.size())), large);
    const auto refused = read_file(at("large"), large.size() - 1);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().failure(), Failure::invalid);
    EXPECT_EQ(refused.error().message(), at("large") + " is larger than 199999 bytes");
}

TEST_F(FilesTest, AFileThatClaimsToBeHugeIsRefusedAndCostsNoMemory) {
    const std::string path = made("sparse", "");
    ASSERT_EQ(::truncate(path.c_str(), off_t{1} << 43), 0);  // 8 TiB, of which nothing is there
    const auto refused = read_file(path, 1000);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message(), path + " is larger than 1000 bytes");
}

TEST_F(FilesTest, AFileThatSaysItsSizeIsZeroIsReadAllTheSame) {
    EXPECT_FALSE(must(read_file("/proc/self/status", 100'000)).empty());
    EXPECT_FALSE(read_file("/proc/self/status", 10));
}

TEST_F(FilesTest, WhatIsNoFileIsRefusedAtOnce) {
    ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
    EXPECT_EQ(read_file(at("pipe"), 100).error().message(), at("pipe") + " is not a regular file");
    EXPECT_EQ(read_file(at(""), 100).error().message(), at("") + " is not a regular file");
    EXPECT_EQ(read_file("/dev/zero", 100).error().message(), "/dev/zero is not a regular file");
    EXPECT_EQ(read_file(at("missing"), 100).error().code(), ENOENT);
}

TEST_F(FilesTest, AWrittenFileHasItsContentAndModeAndNothingIsLeftBesideIt) {
    must(write_file_durably(at("state"), "one", 0600));
    EXPECT_EQ(must(read_file(at("state"), 100)), "one");
    EXPECT_EQ(mode_of(at("state")), 0600U);
    must(write_file_durably(at("state"), "", 0644));
    EXPECT_EQ(must(read_file(at("state"), 100)), "");
    EXPECT_EQ(mode_of(at("state")), 0644U);
    EXPECT_EQ(entries(), 1U);
}

TEST_F(FilesTest, WhatACrashLeftHalfWrittenIsWrittenOver) {
    made("state.tmp", "a longer text that was cut o");
    must(write_file_durably(at("state"), "new", 0600));
    EXPECT_EQ(must(read_file(at("state"), 100)), "new");
    EXPECT_EQ(entries(), 1U);
}

TEST_F(FilesTest, WritingThatFailsLeavesTheOldContent) {
    make_small();
    must(write_file_durably(at("state"), "old", 0600));
    const auto failed = write_file_durably(at("state"), std::string(1'000'000, 'x'), 0600);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code(), ENOSPC);
    EXPECT_EQ(must(read_file(at("state"), 100)), "old");
    EXPECT_EQ(entries(), 1U) << "and no half of the new one";
    must(write_file_durably(at("state"), "new", 0600));
    EXPECT_EQ(must(read_file(at("state"), 100)), "new");
}

TEST_F(FilesTest, WritingOverADirectoryOrInNoneIsAnError) {
    fs::create_directory(at("directory"));
    EXPECT_FALSE(write_file_durably(at("directory"), "x", 0600));
    EXPECT_EQ(entries(), 1U);
    EXPECT_EQ(write_file_durably(at("missing/file"), "x", 0600).error().code(), ENOENT);
}

TEST_F(FilesTest, AWriteIsNotLedElsewhereByALinkInItsWay) {
    const std::string victim = made("victim", "precious");
    fs::create_symlink(victim, at("state.tmp"));
    EXPECT_FALSE(write_file_durably(at("state"), "x", 0600));
    EXPECT_EQ(must(read_file(victim, 100)), "precious");
}

TEST_F(FilesTest, DirectoriesAreMadeWithThoseAboveThem) {
    must(make_directory(at("a/b/c"), 0700));
    EXPECT_EQ(mode_of(at("a/b/c")), 0700U);
    EXPECT_EQ(mode_of(at("a/b")), 0755U);
    EXPECT_EQ(mode_of(at("a")), 0755U);
}

TEST_F(FilesTest, ATrailingSlashChangesNothing) {
    must(make_directory(at("private/"), 0700));
    EXPECT_EQ(mode_of(at("private")), 0700U);
    must(make_directory(at("below/private//"), 0700));
    EXPECT_EQ(mode_of(at("below/private")), 0700U);
    EXPECT_EQ(mode_of(at("below")), 0755U);
}

TEST_F(FilesTest, ADirectoryThatExistsIsLeftAsItIs) {
    must(make_directory(at("there"), 0750));
    must(make_directory(at("there"), 0700));
    EXPECT_EQ(mode_of(at("there")), 0750U);
    fs::create_directory_symlink(at("there"), at("link"));
    must(make_directory(at("link"), 0700));
    must(make_directory(at("link/below"), 0700));
    EXPECT_TRUE(fs::is_directory(at("there/below")));
}

TEST_F(FilesTest, AFileInTheWayOfADirectoryIsAnError) {
    made("file", "");
    EXPECT_EQ(make_directory(at("file"), 0700).error().code(), EEXIST);
    EXPECT_EQ(make_directory(at("file/below"), 0700).error().code(), ENOTDIR);
}

TEST_F(FilesTest, AConfigsFilesAreRelativeToItsOwnDirectory) {
    const std::string main = made("etc/sluice.yaml", "main");
    made("etc/conf.d/b.yaml", "b");
    made("etc/conf.d/a.yaml", "a");
    made("etc/conf.d/.hidden.yaml", "not meant");
    made("other.yaml", "other");
    RealConfigFiles files(main);
    EXPECT_EQ(must(files.read(main)), "main");
    EXPECT_EQ(must(files.read("conf.d/a.yaml")), "a");
    EXPECT_EQ(must(files.read("../other.yaml")), "other");
    EXPECT_EQ(must(files.read(at("other.yaml"))), "other");
    EXPECT_FALSE(files.read("conf.d/missing.yaml"));
    EXPECT_EQ(files.glob("conf.d/*.yaml"),
              (std::vector<std::string>{"conf.d/a.yaml", "conf.d/b.yaml"}));
    EXPECT_EQ(files.glob("../*.yaml"), (std::vector<std::string>{"../other.yaml"}));
    EXPECT_EQ(files.glob(at("etc/conf.d/a*")), (std::vector<std::string>{at("etc/conf.d/a.yaml")}));
    EXPECT_TRUE(files.glob("conf.d/*.yml").empty());
    EXPECT_TRUE(files.glob("nowhere/*.yaml").empty());
}

TEST_F(FilesTest, AConfigNamedRelativelyHasItsDirectoryAllTheSame) {
    made("etc/sluice.yaml", "main");
    made("etc/conf.d/a.yaml", "a");
    const fs::path before = fs::current_path();
    fs::current_path(at("etc"));
    RealConfigFiles files("sluice.yaml");
    fs::current_path(before);
    EXPECT_EQ(files.glob("conf.d/*.yaml"), (std::vector<std::string>{"conf.d/a.yaml"}));
    EXPECT_EQ(must(files.read("conf.d/a.yaml")), "a");
}

TEST_F(FilesTest, TheNameOfAConfigsDirectoryIsNoPattern) {
    const std::string main = made("[edge] *?\\/sluice.yaml", "main");
    made("[edge] *?\\/conf.d/a.yaml", "a");
    RealConfigFiles files(main);
    EXPECT_EQ(files.glob("conf.d/*.yaml"), (std::vector<std::string>{"conf.d/a.yaml"}));
}

}  // namespace
}  // namespace sluice
