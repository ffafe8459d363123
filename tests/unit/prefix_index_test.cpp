// SPDX-License-Identifier: Apache-2.0
// The index's image against a map and against brute force; and that what is said to be touched is
// all that changed.
#include "core/prefix_index.h"

#include <cstring>
#include <map>
#include <random>

#include "words.h"

namespace sluice {
namespace {

template <class Bucket>
constexpr Family family_of = std::is_same_v<Bucket, sluice_index_v4> ? Family::ipv4 : Family::ipv6;

struct Item {
    Protocol protocol = Protocol::tcp;
    Prefix prefix;
    auto operator<=>(const Item&) const = default;
    IndexKey key() const { return index_key(protocol, prefix); }
};

class Source {
  public:
    Source(Family family, std::uint64_t seed, int anchors) : family_(family), random_(seed) {
        for (int i = 0; i < anchors; ++i) anchors_.push_back(anywhere());
    }
    std::uint64_t below(std::uint64_t end) { return random_() % end; }
    Address anywhere() {
        Address address;
        address.family = family_;
        for (int i = 0; i < address.bits() / 8; ++i)
            address.bytes.at(static_cast<std::size_t>(i)) = static_cast<std::uint8_t>(random_());
        return address;
    }
    // Inside an anchor's address up to some bit, so that prefixes of all lengths nest.
    Address near() {
        const Address& anchor = anchors_[below(anchors_.size())];
        const auto shared = static_cast<int>(below(static_cast<std::uint64_t>(anchor.bits()) + 1));
        Address address = anywhere();
        for (int bit = 0; bit < shared; ++bit) {
            const auto byte = static_cast<std::size_t>(bit / 8);
            const auto mask = static_cast<std::uint8_t>(0x80U >> static_cast<unsigned>(bit % 8));
            address.bytes.at(byte) = static_cast<std::uint8_t>((address.bytes.at(byte) & ~mask) |
                                                               (anchor.bytes.at(byte) & mask));
        }
        return address;
    }
    Protocol protocol() { return below(2) == 0 ? Protocol::tcp : Protocol::udp; }
    Item item() {
        const Address address = near();
        const auto bits = static_cast<std::uint64_t>(address.bits());
        return {protocol(), Prefix::of(address, static_cast<int>(below(bits + 1)))};
    }

  private:
    Family family_;
    std::mt19937_64 random_;
    std::vector<Address> anchors_;
};

using Model = std::map<Item, std::uint32_t>;

// As the BPF program does: the lengths of the head's list, one after the other.
template <class Bucket>
std::uint32_t longest(const PrefixIndex<Bucket>& index, Protocol protocol, const Address& address) {
    const sluice_index_head head = index.head(protocol);
    for (unsigned place = 0;; ++place) {
        const auto one_more = head.lengths[place / 8] >> (place % 8 * 8) & 0xffU;
        if (one_more == 0) return 0;
        const Prefix prefix = Prefix::of(address, static_cast<int>(one_more) - 1);
        if (const auto policy = index.find(index_key(protocol, prefix)); policy != 0) return policy;
    }
}

std::uint32_t longest(const Model& model, Protocol protocol, const Address& address) {
    int best = -1;
    std::uint32_t policy = 0;
    for (const auto& [item, each] : model)
        if (item.protocol == protocol && item.prefix.contains(address) &&
            item.prefix.length > best) {
            best = item.prefix.length;
            policy = each;
        }
    return policy;
}

// A copy that is kept up by what is said to be touched.
template <class Bucket>
void catch_up(std::vector<Bucket>& copy, PrefixIndex<Bucket>& index, std::uint32_t half) {
    TouchedBuckets& touched = index.touched(half);
    if (touched.all)
        copy.assign(index.buckets().begin(), index.buckets().end());
    else
        for (const std::uint32_t bucket : touched.some) copy[bucket] = index.buckets()[bucket];
    touched = {false, {}};
}

template <class Bucket>
bool same(const std::vector<Bucket>& copy, const PrefixIndex<Bucket>& index) {
    return copy.size() == index.buckets().size() &&
           std::memcmp(copy.data(), index.buckets().data(), copy.size() * sizeof(Bucket)) == 0;
}

template <class Bucket>
class PrefixIndexTest : public ::testing::Test {};
using Layouts = ::testing::Types<sluice_index_v4, sluice_index_v6>;
TYPED_TEST_SUITE(PrefixIndexTest, Layouts);

TYPED_TEST(PrefixIndexTest, AnswersAsAMapThroughRandomChanges) {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        Source source(family_of<TypeParam>, seed, 3);
        PrefixIndex<TypeParam> index(seed);
        Model model;
        std::vector<TypeParam> copies[2];
        for (int step = 0; step < 3000; ++step) {
            // Grows for a while, then shrinks, and so on; and policies change.
            const bool shrink = step / 700 % 2 == 1;
            if (!model.empty() && source.below(10) < (shrink ? 8U : 3U)) {
                auto at = model.begin();
                std::advance(at, static_cast<long>(source.below(model.size())));
                index.erase(at->first.key());
                model.erase(at);
            } else {
                const Item item = source.item();
                const auto policy = static_cast<std::uint32_t>(1 + source.below(262143));
                index.put(item.key(), policy);
                model[item] = policy;
            }
            ASSERT_EQ(index.size(), model.size());
            const Item other = source.item();
            const auto at = model.find(other);
            ASSERT_EQ(index.find(other.key()), at == model.end() ? 0 : at->second);
            // One copy is always near, the other falls behind.
            catch_up(copies[0], index, 0);
            ASSERT_TRUE(same(copies[0], index)) << "seed " << seed << " step " << step;
            if (source.below(50) == 0) {
                catch_up(copies[1], index, 1);
                ASSERT_TRUE(same(copies[1], index)) << "seed " << seed << " step " << step;
            }
        }
        for (const auto& [item, policy] : model) ASSERT_EQ(index.find(item.key()), policy);
    }
}

TYPED_TEST(PrefixIndexTest, FindsTheLongestPrefixAndAnswersAsAFreshOne) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        Source source(family_of<TypeParam>, seed, 4);
        PrefixIndex<TypeParam> index(seed), fresh(seed + 1000);
        Model model;
        for (int i = 0; i < 400; ++i) {
            const Item item = source.item();
            if (i % 3 == 2) {
                index.erase(model.begin()->first.key());
                model.erase(model.begin());
            }
            index.put(item.key(), static_cast<std::uint32_t>(i + 1));
            model[item] = static_cast<std::uint32_t>(i + 1);
        }
        for (const auto& [item, policy] : model) fresh.put(item.key(), policy);
        for (int i = 0; i < 500; ++i) {
            const Address address = source.below(8) == 0 ? source.anywhere() : source.near();
            const Protocol protocol = source.protocol();
            const std::uint32_t wanted = longest(model, protocol, address);
            ASSERT_EQ(longest(index, protocol, address), wanted) << to_string(address);
            ASSERT_EQ(longest(fresh, protocol, address), wanted) << to_string(address);
        }
    }
}

TYPED_TEST(PrefixIndexTest, AChangeOfOnePrefixTouchesAFewBuckets) {
    Source source(family_of<TypeParam>, 7, 1);
    PrefixIndex<TypeParam> index(7);
    std::vector<Item> items;
    for (std::uint32_t i = 0; i < 50'000; ++i) {
        items.push_back({Protocol::tcp, Prefix::of(source.anywhere(), source.anywhere().bits())});
        index.put(items.back().key(), 1);
    }
    std::size_t touched = 0;
    for (int i = 0; i < 1000; ++i) {
        index.touched(0) = {false, {}};
        index.erase(items[source.below(items.size())].key());
        index.put({source.below(1U << 30U), source.below(1U << 30U), sluice_index_kind(0, 30)}, 2);
        ASSERT_FALSE(index.touched(0).all);
        touched += index.touched(0).some.size();
    }
    EXPECT_LT(touched, 1000U * 8);
}

TYPED_TEST(PrefixIndexTest, FillsItsBucketsAndLeavesRoom) {
    Source source(family_of<TypeParam>, 9, 1);
    PrefixIndex<TypeParam> index(9);
    for (int i = 0; i < 100'000; ++i) {
        index.put({source.below(~0ULL), source.below(1ULL << 32U), sluice_index_kind(1, 33)}, 3);
        ASSERT_LE(index.size(), PrefixIndex<TypeParam>::most_in(
                                    static_cast<std::uint32_t>(index.buckets().size())));
    }
    const double slots = static_cast<double>(index.buckets().size()) *
                         (family_of<TypeParam> == Family::ipv4 ? 7 : 3);
    EXPECT_GT(static_cast<double>(index.size()) / slots, 0.3);
}

TYPED_TEST(PrefixIndexTest, ShrinksWhenAsked) {
    PrefixIndex<TypeParam> index(5);
    const auto key = [](std::uint64_t i) { return IndexKey{0, i, sluice_index_kind(0, 33)}; };
    for (std::uint64_t i = 0; i < 10'000; ++i) index.put(key(i), 1);
    const std::size_t buckets = index.buckets().size();
    index.shrink();
    EXPECT_EQ(index.buckets().size(), buckets) << "it is not too large";
    for (std::uint64_t i = 100; i < 10'000; ++i) index.erase(key(i));
    index.shrink();
    EXPECT_LT(index.buckets().size(), buckets / 10);
    for (std::uint64_t i = 0; i < 200; ++i) EXPECT_EQ(index.find(key(i)), i < 100 ? 1U : 0U);
}

// Two buckets are all that an entry may live in.
TYPED_TEST(PrefixIndexTest, TakesAnotherSeedWhenTooManyShareTheirBuckets) {
    PrefixIndex<TypeParam> index(13);
    index.reserve(2000);
    const std::uint64_t seed = index.seed();
    const auto buckets = static_cast<std::uint32_t>(index.buckets().size());
    std::vector<IndexKey> keys;
    for (IndexKey key{0, 0, sluice_index_kind(0, 33)}; keys.size() < 20; ++key.low) {
        std::uint64_t hash = 0;
        if constexpr (family_of<TypeParam> == Family::ipv4)
            hash = sluice_index_hash_v4(
                sluice_index_key_v4(static_cast<std::uint32_t>(key.low), key.kind), seed);
        else
            hash = sluice_index_hash_v6(key.high, key.low, key.kind, seed);
        if (sluice_index_first(hash, buckets) == 0 && sluice_index_second(hash, buckets) < 2)
            keys.push_back(key);
    }
    for (const IndexKey& key : keys) index.put(key, 5);
    EXPECT_NE(index.seed(), seed);
    EXPECT_EQ(index.size(), keys.size());
    for (const IndexKey& key : keys) EXPECT_EQ(index.find(key), 5U);
}

// Sequential addresses of one network are what operators have.
TYPED_TEST(PrefixIndexTest, NeighboursSpreadAsWellAsStrangers) {
    PrefixIndex<TypeParam> index(11);
    constexpr std::uint32_t count = 60'000;
    index.reserve(count);
    const std::size_t buckets = index.buckets().size();
    for (std::uint32_t i = 0; i < count; ++i)
        index.put({0x20010db800000000ULL, 0x0a000000ULL + i, sluice_index_kind(0, 33)}, 1);
    EXPECT_EQ(index.buckets().size(), buckets) << "no rebuild was needed";
    std::size_t displaced = 0;
    for (const TypeParam& bucket : index.buckets())
        for (auto left = bucket.displaced; left != 0; left >>= 4U) displaced += left & 15U;
    EXPECT_LT(displaced, count / 5);
    EXPECT_GT(displaced, 0U);
}

TEST(IndexKey, IsTheBitsInHostOrder) {
    const auto key = [](Protocol protocol, const char* text) {
        return index_key(protocol, must(Prefix::parse(text)));
    };
    EXPECT_EQ(key(Protocol::tcp, "192.0.2.0/24"), (IndexKey{0, 0xc0000200, 25 << 1}));
    EXPECT_EQ(key(Protocol::udp, "0.0.0.0/0"), (IndexKey{0, 0, (1 << 1) | 1}));
    EXPECT_EQ(key(Protocol::tcp, "2001:db8::1/128"),
              (IndexKey{0x20010db800000000ULL, 1, 129 << 1}));
}

TEST(IndexHead, ListsEachLengthThatIsThereOnceAndLongestFirst) {
    PrefixIndex<sluice_index_v6> index(1);
    const auto put = [&](const char* text) {
        index.put(index_key(Protocol::tcp, must(Prefix::parse(text))), 1);
    };
    for (const char* text : {"2001:db8::/32", "::/0", "2001:db8::1/128", "2001:db8::2/128"})
        put(text);
    EXPECT_EQ(index.head(Protocol::tcp).lengths[0], 0x00'00'00'00'00'01'21'81ULL);
    EXPECT_EQ(index.head(Protocol::udp).lengths[0], 0U);
    index.erase(index_key(Protocol::tcp, must(Prefix::parse("2001:db8::1/128"))));
    EXPECT_EQ(index.head(Protocol::tcp).lengths[0], 0x00'00'00'00'00'01'21'81ULL);
    index.erase(index_key(Protocol::tcp, must(Prefix::parse("2001:db8::2/128"))));
    EXPECT_EQ(index.head(Protocol::tcp).lengths[0], 0x00'00'00'00'00'00'01'21ULL);
}

// The longest list there is ends before its array does.
TEST(IndexHead, HasRoomForEveryLength) {
    PrefixIndex<sluice_index_v6> index(1);
    const Address address = must(Address::parse("2001:db8::1"));
    for (int length = 0; length <= 128; ++length)
        index.put(index_key(Protocol::udp, Prefix::of(address, length)), 1);
    const sluice_index_head head = index.head(Protocol::udp);
    EXPECT_EQ(head.lengths[0] & 0xff, 129U);
    EXPECT_EQ(head.lengths[16], 1U) << "the 129th and last: length 0";
    EXPECT_EQ(head.lengths[17], 0U);
}

}  // namespace
}  // namespace sluice
