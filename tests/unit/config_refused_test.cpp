// SPDX-License-Identifier: Apache-2.0
// What the config's parser refuses: where, why, and what it says is allowed.
#include "core/text.h"
#include "memory_files.h"
#include "words.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Refused {
    const char* text;
    const char* at;  // of the first error: LINE:COLUMN in the main file
    const char* message;
    const char* hint = "";
};

void expect_refused(const Refused& one, std::map<std::string, std::string> others = {}) {
    SCOPED_TRACE(one.text);
    const CheckedConfig checked = check(one.text, std::move(others));
    EXPECT_FALSE(checked.valid());
    ASSERT_EQ(checked.errors.size(), 1u) << errors_of(checked);
    const Problem& problem = checked.errors.front();
    EXPECT_EQ(to_string(problem.place), std::string(main_config) + ":" + one.at);
    EXPECT_THAT(problem.message, HasSubstr(one.message));
    EXPECT_THAT(problem.hint, HasSubstr(one.hint));
}

// A config with one binding, in line 3, whose first key is in column 6.
std::string with_binding(const std::string& inside) {
    return "version: 1\nservices: {a: {}, b: {}}\nbindings: [{" + inside + "}]\n";
}

TEST(Config, RefusesWhatTheMainFileCannotSay) {
    const Refused cases[] = {
        {"", "1:1", "empty", "version: 1"},
        {"# only a comment\n", "1:1", "empty"},
        {"services: {}\n", "1:1", "version is missing", "version: 1"},
        {"version: 2\n", "1:10", "version is 1, not '2'"},
        {"version: 01\n", "1:10", "version is 1"},
        {"version: 0x1\n", "1:10", "version is 1"},
        {"version: 1.0\n", "1:10", "version is 1"},
        {"version: \"1\"\n", "1:10", "version is 1"},
        {"version: one\n", "1:10", "version is 1"},
        {"version: [1]\n", "1:10", "version is 1"},
        {"version: 1\nversion: 1\n", "2:1", "stands twice"},
        {"version: 1\nservice: {}\n", "2:1", "unknown key 'service'", "did you mean 'services'?"},
        {"version: 1\nbinding: []\n", "2:1", "unknown key 'binding'", "did you mean 'bindings'?"},
        {"version: 1\nroutes: {}\n", "2:1", "unknown key 'routes'"},
        {"version: 1\nmetrics: {}\n", "2:1", "unknown key 'metrics'"},
        {"version: 1\nlimits: {}\n", "2:1", "unknown key 'limits'"},
        {"version: 1\ndataplane: {index: yes}\n", "2:20", "index is on or off"},
        {"version: 1\ndataplane: {memory: 1T}\n", "2:21", "'1T' is not a size", "256M"},
        {"version: 1\ndataplane: {memory: -1}\n", "2:21", "is not a size"},
        {"version: 1\ndataplane: {memory: 2048G}\n", "2:21", "more than 1024G"},
        {"version: 1\ndataplane: {size: 1}\n", "2:13", "unknown key 'size'"},
        {"version: 1\nannounced: []\n", "2:1", "unknown key 'announced'"},
        {"version: 1\nannounce: {}\n", "2:1", "unknown key 'announce'"},
        {"version: 1\nzzz: {}\n", "2:1", "unknown key 'zzz'", "known are: version, include"},
        {"- version: 1\n", "1:1", "is a map (key: value), not a list"},
        {"just text\n", "1:1", "is a map (key: value), not 'just text'"},
        {"version: 1\n[a]: 1\n", "2:1", "is a word, not a list"},
        {"version: 1\nservices:\n", "2:1", "services is a map"},
        {"version: 1\nservices: [a]\n", "2:11", "services is a map (key: value), not a list"},
        {"version: 1\nservices: cdn\n", "2:11", "services is a map (key: value), not 'cdn'"},
        {"version: 1\nbindings: {}\n", "2:11", "bindings is a list, not a map"},
        {"version: 1\nbindings: []\n", "2:11", "empty list"},
        {"version: 1\nbindings:\n", "2:1", "bindings is a list, not nothing"},
        {"version: 1\nbindings:\n\nguards: {}\n", "2:1", "bindings is a list, not nothing"},
        {"version:\n\n\nservices: {a: ~}\n", "1:1", "version is 1"},
        {"version: 1\nbindings: ~\n", "2:11", "bindings is a list, not nothing"},
        {"version: 1\ninclude: []\n", "2:10", "empty list"},
        {"version: 1\ninclude: conf.d\n", "2:10", "include is a list, not 'conf.d'"},
    };
    for (const Refused& one : cases) expect_refused(one);
}

TEST(Config, RefusesYamlThatHasNoBusinessInAConfig) {
    const Refused cases[] = {
        {"version: 1\n---\nversion: 1\n", "2:1", "a second document"},
        {"version: 1\nservices: {a: {<<: {description: x}}}\n", "2:16", "merge keys"},
        {"version: 1\n<<: {services: {}}\n", "2:1", "merge keys", "write the values out"},
        {"version: 1\nservices: {a: !!map {}}\n", "2:15", "a tag", "leave the !tag out"},
        {"version: !!int 1\n", "1:10", "a tag"},
        {"version: !x 1\n", "1:10", "a tag"},
        {"version: 1\nservices: {a: {}\n", "3:1", "not valid YAML"},
        {"version: 1\n\tservices: {}\n", "2:1", "not valid YAML", "indent with spaces, not tabs"},
        {"version: 1\nservices: \"open\n", "2:11", "not valid YAML: a quote that is never closed"},
        {"version: 1\nservices: *nobody\n", "2:11", "not valid YAML"},
        {"version: 1\nservices: &a {a: *a}\n", "2:18", "an alias of something that contains it"},
    };
    for (const Refused& one : cases) expect_refused(one);
}

TEST(Config, TellsNothingFromTheWordNullThatComesNext) {
    const CheckedConfig checked = check("version: 1\nservices:\n  a:\n  null: {}\n");
    EXPECT_EQ(errors_of(checked), "sluice.yaml:4:3: a service's name is missing: found nothing\n")
        << "the service a is fine";
    EXPECT_EQ(errors_of(check("version: 1\nbindings:\nnull: 1\n")),
              "sluice.yaml:3:1: unknown key 'null' in the config\n"
              "sluice.yaml:2:1: bindings is a list, not nothing\n");
}

TEST(Config, RefusesServicesThatAreNotWellSaid) {
    const Refused cases[] = {
        {"version: 1\nservices: {a b: {}}\n", "2:12", "is not a service name"},
        {"version: 1\nservices: {\"\": {}}\n", "2:12", "is not a service name"},
        {"version: 1\nservices: {k\xc3\xa4se: {}}\n", "2:12", "is not a service name"},
        {"version: 1\nservices: {[a]: {}}\n", "2:12", "is a word, not a list"},
        {"version: 1\nservices: {~: {}}\n", "2:12", "is missing"},
        {"version: 1\nservices:\n  a: {}\n  a: {}\n", "4:3",
         "'a' stands twice in services, first in line 3"},
        {"version: 1\nservices: {a: 5}\n", "2:15", "a service is a map (key: value), not '5'"},
        {"version: 1\nservices: {a: []}\n", "2:15", "a service is a map (key: value), not a list"},
        {"version: 1\nservices: {a: {descripton: x}}\n", "2:16", "unknown key 'descripton'",
         "did you mean 'description'?"},
        {"version: 1\nservices: {a: {description: [x]}}\n", "2:29", "description is missing"},
        {"version: 1\nservices: {a: {description: ~}}\n", "2:29", "description is missing"},
        {"version: 1\nservices: {a: {description: \"two\\nlines\"}}\n", "2:29", "on one line"},
        {"version: 1\nservices: {a: {unavailable: drop}}\n", "2:29",
         "reject, pass or {fallback: SERVICE}"},
        {"version: 1\nservices: {a: {unavailable: }}\n", "2:16",
         "reject, pass or {fallback: SERVICE}"},
        {"version: 1\nservices: {a: {unavailable: {fallbak: a}}}\n", "2:30",
         "unknown key 'fallbak'", "did you mean 'fallback'?"},
        {"version: 1\nservices: {a: {unavailable: {fallback: c}}}\n", "2:40",
         "service 'c' is not defined"},
        {"version: 1\nservices: {a: {unavailable: {}}}\n", "2:29", "fallback"},
        {"version: 1\ndefaults: {unavailable: {fallback: c}}\n", "2:36",
         "service 'c' is not defined"},
        {"version: 1\ndefaults: {unavailable: never}\n", "2:25", "reject, pass or"},
        {"version: 1\ndefaults: {mixed_ports: true}\n", "2:12", "unknown key 'mixed_ports'"},
        {"version: 1\ndefaults: reject\n", "2:11", "defaults is a map"},
        {"version: 1\nservices: {a: {mixed_ports: yes}}\n", "2:29",
         "mixed_ports is true or false, not 'yes'"},
        {"version: 1\nservices: {a: {mixed_ports: True}}\n", "2:29",
         "mixed_ports is true or false"},
        {"version: 1\nservices: {a: {mixed_ports: \"true\"}}\n", "2:29",
         "mixed_ports is true or false"},
        {"version: 1\nservices: {a: {mixed_ports: 1}}\n", "2:29", "mixed_ports is true or false"},
        {"version: 1\nservices: {a: {register: [nginx]}}\n", "2:26",
         "register is a map (key: value), not a list"},
        {"version: 1\nservices: {a: {register: {user: [x]}}}\n", "2:27", "unknown key 'user'",
         "did you mean 'users'?"},
        {"version: 1\nservices: {a: {register: {users: nginx}}}\n", "2:34",
         "users is a list, not 'nginx'"},
        {"version: 1\nservices: {a: {register: {users: []}}}\n", "2:34", "users is an empty list"},
        {"version: 1\nservices: {a: {register: {units: [\"\"]}}}\n", "2:35", "is no name"},
        {"version: 1\nservices: {a: {register: {groups: [[x]]}}}\n", "2:36",
         "groups is missing: found a list"},
        {"version: 1\nservices: {a: {sockets: {}}}\n", "2:25", "sockets is a list, not a map"},
        {"version: 1\nservices: {a: {sockets: [{unit: x.service}]}}\n", "2:26",
         "listen is missing"},
        {"version: 1\nservices: {a: {sockets: [{listen: [\"tcp :: 443\"]}]}}\n", "2:26",
         "unit is missing"},
        {"version: 1\nservices: {a: {sockets: [{unit: x, listen: [tcp 0.0.0.0 443]}]}}\n", "2:33",
         "'x' is neither a .service nor a .scope", "did you mean 'x.service'?"},
        {"version: 1\nservices: {a: {sockets: [{unit: ../x.service, listen: [tcp 0.0.0.0 "
         "443]}]}}\n",
         "2:33", "is not the name of a unit"},
        {"version: 1\nservices: {a: {sockets: [{unit: x@.service, listen: [tcp 0.0.0.0 443]}]}}\n",
         "2:33", "is a template", "x@1.service"},
        {"version: 1\nservices: {a: {sockets: [{unit: x.service, listen: [tcp 0.0.0.0 80, "
         "udp 0.0.0.0 53, tcp 127.0.0.1 81]}]}}\n",
         "2:25", "tcp 0.0.0.0 80 and tcp 127.0.0.1 81 are on two ports", "mixed_ports: true"},
        {"version: 1\nservices: {a: {sockets: [{unit: x.service, listen: [tcp :: 443]}]}}\n",
         "2:53", "is a text, not a map", "needs quotes"},
        {"version: 1\nservices: {a: {sockets: [{unit: x.service, listen: []}]}}\n", "2:52",
         "empty list"},
        {"version: 1\nservices: {a: {sockets: [{unit: x.service, listen: [tcp 443]}]}}\n", "2:53",
         "'tcp 443' is not PROTOCOL ADDRESS PORT"},
        {"version: 1\nservices: {a: {sockets: [{unit: x.service, listen: [sctp 0.0.0.0 443]}]}}\n",
         "2:53", "unknown protocol 'sctp'"},
        {"version: 1\nservices: {a: {sockets: [{unit: x.service, listen: [tcp 0.0.0.0/0 443]}]}}\n",
         "2:53", "is not an IPv4 address"},
        {"version: 1\nservices: {a: {sockets: [{unit: x.service, listen: [tcp 0.0.0.0 any]}]}}\n",
         "2:53", "'any' is not a port"},
        {"version: 1\nservices: {a: {bindings: []}}\n", "2:26", "empty list"},
        {"version: 1\nservices: {a: {bindings: [tcp 443]}}\n", "2:27",
         "is not PROTOCOL PREFIX PORT", "tcp 192.0.2.0/24 443"},
        {"version: 1\nservices: {a: {bindings: [tcp 192.0.2.1 0]}}\n", "2:27", "'0' is not a port"},
        {"version: 1\nservices: {a: {bindings: [TCP 192.0.2.1 80]}}\n", "2:27",
         "unknown protocol 'TCP'"},
        {"version: 1\nservices: {a: {bindings: [\"tcp, 192.0.2.1 80\"]}}\n", "2:27",
         "unknown protocol ''"},
        {"version: 1\nservices: {a: {bindings: [\"tcp 192.0.2.1 80,\"]}}\n", "2:27",
         "'' is not a port"},
        {"version: 1\nservices: {a: {bindings: [\"tcp 192.0.2.1/24 80\"]}}\n", "2:27",
         "bits set below its mask", "192.0.2.0/24"},
        {"version: 1\nservices: {a: {bindings: [{service: a, protocol: tcp, prefix: ::1, port: "
         "1}]}}\n",
         "2:28", "unknown key 'service'"},
        {"version: 1\nservices: {a: {bindings: [{reject: true, protocol: tcp, prefix: ::1, port: "
         "1}]}}\n",
         "2:28", "unknown key 'reject'"},
        {"version: 1\nservices: {a: {bindings: [~]}}\n", "2:27", "a binding"},
    };
    for (const Refused& one : cases) expect_refused(one);
    expect_refused({("version: 1\nservices: {" + std::string(101, 'x') + ": {}}\n").c_str(), "2:12",
                    "is not a service name"});
    expect_refused(
        {("version: 1\nservices: {a: {description: " + std::string(1001, 'x') + "}}\n").c_str(),
         "2:29", "at most 1000 bytes"});
}

TEST(Config, RefusesBindingsThatLackOrConfuseSomething) {
    struct Inside {
        const char* inside;  // of the one binding
        const char* at;
        const char* message;
        const char* hint = "";
    };
    const Inside cases[] = {
        {"protocol: tcp, prefix: 192.0.2.1, port: 80", "3:12",
         "exactly one of service, reject and pass"},
        {"service: a, reject: true, protocol: tcp, prefix: ::1, port: 80", "3:12",
         "exactly one of"},
        {"service: a, pass: true, protocol: tcp, prefix: ::1, port: 80", "3:12", "exactly one of"},
        {"reject: true, pass: true, protocol: tcp, prefix: ::1, port: 80", "3:12",
         "exactly one of"},
        {"reject: false, protocol: tcp, prefix: ::1, port: 80", "3:21", "reject can only be true"},
        {"pass: false, protocol: tcp, prefix: ::1, port: 80", "3:19", "pass can only be true"},
        {"pass: 1, protocol: tcp, prefix: ::1, port: 80", "3:19", "pass is true or false, not '1'"},
        {"service: a, prefix: 192.0.2.1, port: 80", "3:12", "protocol is missing"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1", "3:12", "port is missing"},
        {"service: a, protocol: tcp, port: 80", "3:12", "either prefix or prefixes_from"},
        {"service: a, protocol: tcp, port: 80, prefix: ::1, prefixes_from: list.txt", "3:12",
         "either prefix or prefixes_from"},
        {"service: c, protocol: tcp, prefix: 192.0.2.1, port: 80", "3:22",
         "service 'c' is not defined", "services:"},
        {"service: [a], protocol: tcp, prefix: 192.0.2.1, port: 80", "3:22",
         "a service's name is missing: found a list"},
        {"service: , protocol: tcp, prefix: 192.0.2.1, port: 80", "3:13",
         "is missing: found nothing"},
        {"service: a/b, protocol: tcp, prefix: 192.0.2.1, port: 80", "3:22",
         "is not a service name"},
        {"service: a, protocol: tcp, prefx: 192.0.2.1, port: 80", "3:40",
         "unknown key 'prefx' in a binding", "did you mean 'prefix'?"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1, port: 80, port: 81", "3:69",
         "'port' stands twice"},
        {"service: a, protocol: tcp, \"port\": 80, prefix: 192.0.2.1, port: 81", "3:71",
         "stands twice"},
        {"service: a, protocol: TCP, prefix: 192.0.2.1, port: 80", "3:35",
         "unknown protocol 'TCP'"},
        {"service: a, protocol: sctp, prefix: 192.0.2.1, port: 80", "3:35",
         "unknown protocol 'sctp'"},
        {"service: a, protocol: 6, prefix: 192.0.2.1, port: 80", "3:35", "unknown protocol '6'"},
        {"service: a, protocol: [tcp, tpc], prefix: 192.0.2.1, port: 80", "3:41",
         "unknown protocol 'tpc'"},
        {"service: a, protocol: [], prefix: 192.0.2.1, port: 80", "3:35",
         "protocol is an empty list"},
        {"service: a, protocol: {}, prefix: 192.0.2.1, port: 80", "3:35",
         "protocol is missing: found a map"},
        {"service: a, protocol: [[tcp]], prefix: 192.0.2.1, port: 80", "3:36", "found a list"},
        {"service: a, protocol: tcp, prefix: [], port: 80", "3:48", "prefix is an empty list"},
        {"service: a, protocol: tcp, prefix: , port: 80", "3:40",
         "prefix is missing: found nothing"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1/24, port: 80", "3:48",
         "bits set below its mask", "did you mean 192.0.2.0/24"},
        {"service: a, protocol: tcp, prefix: 192.0.02.1, port: 80", "3:48", "leading zeros"},
        {"service: a, protocol: tcp, prefix: \"fe80::1%eth0\", port: 80", "3:48", "zone id"},
        {"service: a, protocol: tcp, prefix: \"::ffff:192.0.2.1\", port: 80", "3:48",
         "IPv4-mapped"},
        {"service: a, protocol: tcp, prefix: 192.0.2.0/33, port: 80", "3:48",
         "prefix length from 0 to 32"},
        {"service: a, protocol: tcp, prefix: [192.0.2.1, oops], port: 80", "3:60", "'oops' is not"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1, port: 0", "3:65", "'0' is not a port"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1, port: 080", "3:65",
         "without leading zeros"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1, port: 0x50", "3:65",
         "'0x50' is not a port"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1, port: 0o120", "3:65", "is not a port"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1, port: 65536", "3:65", "1 to 65535"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1, port: -1", "3:65", "is not a port"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1, port: 1e3", "3:65", "is not a port"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1, port: http", "3:65", "is not a port"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1, port: 90-80", "3:65",
         "ends before it starts"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1, port: [80, 0]", "3:70",
         "'0' is not a port"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1, port: []", "3:65", "port is an empty list"},
        {"service: a, protocol: tcp, prefix: 192.0.2.1, port: ~", "3:65",
         "port is missing: found nothing"},
        {"service: a, protocol: tcp, port: 80, prefixes_from: nowhere.txt", "3:65",
         "cannot read 'nowhere.txt'"},
        {"service: a, protocol: tcp, port: 80, prefixes_from: [list.txt]", "3:65",
         "prefixes_from is missing"},
        {"service: a, protocol: tcp, port: 80, prefixes_from: empty.txt", "3:65",
         "has no prefixes"},
        {"service: a, protocol: tcp, port: 80, prefixes_from: comments.txt", "3:65",
         "has no prefixes"},
    };
    for (const Inside& one : cases)
        expect_refused({with_binding(one.inside).c_str(), one.at, one.message, one.hint},
                       {{"list.txt", "192.0.2.0/24\n"},
                        {"empty.txt", ""},
                        {"comments.txt", "# nothing\n\n  \t\r\n#\n"}});
    const Refused items[] = {
        {"version: 1\nservices: {a: {}}\nbindings: [tcp 192.0.2.1 80]\n", "3:12",
         "its service is not known"},
        {"version: 1\nbindings: [~]\n", "2:12", "a binding is a map"},
        {"version: 1\nbindings: [[]]\n", "2:12", "a binding is a map (key: value), not a list"},
        {"version: 1\nbindings: [{}]\n", "2:12", "exactly one of service, reject and pass"},
    };
    for (const Refused& one : items) expect_refused(one);
}

TEST(Config, RefusesAdminsAndGuardsThatAreNotWellSaid) {
    const Refused cases[] = {
        {"version: 1\nadmins: [root]\n", "2:9", "admins is a map"},
        {"version: 1\nadmins: {group: [x]}\n", "2:10", "unknown key 'group'",
         "did you mean 'groups'?"},
        {"version: 1\nadmins: {units: [x.service]}\n", "2:10", "unknown key 'units'"},
        {"version: 1\nadmins: {users: []}\n", "2:17", "users is an empty list"},
        {"version: 1\nadmins: {users: [\"a\\tb\"]}\n", "2:18", "is no name"},
        {"version: 1\nguards: []\n", "2:9", "guards is a map"},
        {"version: 1\nguards: {max_remove: {}}\n", "2:10", "unknown key 'max_remove'",
         "'max_removed'"},
        {"version: 1\nguards: {max_removed: 20}\n", "2:23", "max_removed is a map"},
        {"version: 1\nguards: {max_removed: {percent: 101}}\n", "2:33", "from 0 to 100"},
        {"version: 1\nguards: {max_removed: {percent: 020}}\n", "2:33", "without leading zeros"},
        {"version: 1\nguards: {max_removed: {percent: 0x14}}\n", "2:33", "is a number"},
        {"version: 1\nguards: {max_removed: {percent: 20%}}\n", "2:33", "is a number"},
        {"version: 1\nguards: {max_removed: {percent: -1}}\n", "2:33", "is a number"},
        {"version: 1\nguards: {max_removed: {percent: \"20\"}}\n", "2:33", "is a number"},
        {"version: 1\nguards: {max_removed: {at_least: 99999999999999999999}}\n", "2:34",
         "is a number"},
        {"version: 1\nguards: {max_removed: {at_least: }}\n", "2:24", "is a number"},
        {"version: 1\nguards: {protected: 192.0.2.0/24}\n", "2:21", "protected is a list"},
        {"version: 1\nguards: {protected: []}\n", "2:21", "protected is an empty list"},
        {"version: 1\nguards: {protected: [192.0.2.1/24]}\n", "2:22", "bits set below its mask"},
        {"version: 1\nguards: {allow_empty: no}\n", "2:23", "allow_empty is true or false"},
        {"version: 1\nguards: {unserved: never}\n", "2:20", "refuse or allow"},
        {"version: 1\nguards: {host_addresses: 192.0.2.1}\n", "2:26", "host_addresses is a list"},
        {"version: 1\nguards: {host_addresses: [192.0.2.0/24]}\n", "2:27",
         "is not an IPv4 address"},
    };
    for (const Refused& one : cases) expect_refused(one);
}

TEST(Config, RefusesFallbacksThatGoInACircleAtEachServiceInIt) {
    const CheckedConfig checked = check(
        "version: 1\n"
        "services:\n"
        "  a: {unavailable: {fallback: b}}\n"
        "  b: {unavailable: {fallback: a}}\n"
        "  outside: {unavailable: {fallback: a}}\n"
        "  self: {unavailable: {fallback: self}}\n");
    EXPECT_EQ(errors_of(checked),
              "sluice.yaml:3:3: fallbacks go round in a circle: a -> b -> a\n"
              "sluice.yaml:4:3: fallbacks go round in a circle: b -> a -> b\n"
              "sluice.yaml:6:3: fallbacks go round in a circle: self -> self\n");
}

std::string chain(int services) {
    std::string text = "version: 1\nservices:\n";
    for (int i = 0; i + 1 < services; ++i)
        text += "  s" + std::to_string(i) + ": {unavailable: {fallback: s" + std::to_string(i + 1) +
                "}}\n";
    return text + "  s" + std::to_string(services - 1) + ": {}\n";
}

TEST(Config, AllowsFourFallbacksInARowAndRefusesFive) {
    EXPECT_TRUE(check(chain(5)).valid()) << errors_of(check(chain(5)));
    expect_refused({chain(6).c_str(), "3:3", "more than 4 deep: s0 -> s1 -> s2 -> s3 -> s4 -> s5"});
}

TEST(Config, RefusesTheSameMatchTwiceAndNamesBothPlaces) {
    expect_refused(
        {"version: 1\n"
         "services:\n"
         "  a: {bindings: [tcp 192.0.2.1 443]}\n"
         "  b: {}\n"
         "bindings:\n"
         "  - {service: b, protocol: tcp, prefix: 192.0.2.1/32, port: 443}\n",
         "6:41", "tcp 192.0.2.1/32 443 is bound twice, first at sluice.yaml:3 to a"});
    expect_refused({with_binding("service: a, protocol: [tcp, tcp], prefix: ::1, port: 80").c_str(),
                    "3:55", "bound twice"});
    expect_refused(
        {with_binding("reject: true, protocol: tcp, port: 80, prefixes_from: list.txt").c_str(),
         "3:67", "cannot read"});
}

TEST(Config, NamesBothPlacesOfADuplicateAcrossFiles) {
    const CheckedConfig checked = check(
        "version: 1\ninclude: [conf.d/*.yaml]\nservices: {a: {}}\nbindings:\n"
        "  - {service: a, protocol: tcp, prefix: 192.0.2.0/24, port: 443}\n",
        {{"conf.d/b.yaml",
          "bindings:\n  - {pass: true, protocol: tcp, port: 443, prefixes_from: l.txt}\n"},
         {"conf.d/l.txt", "# ours\n  192.0.2.0/24\n"}});
    ASSERT_THAT(checked.errors, SizeIs(1)) << errors_of(checked);
    EXPECT_THAT(errors_of(checked), AllOf(HasSubstr("sluice.yaml:5"), HasSubstr("conf.d/l.txt:2")));
}

TEST(Config, RefusesRangesThatOverlapInPartAndNamesBothPlaces) {
    const CheckedConfig checked = check(
        "version: 1\nservices: {a: {}}\nbindings:\n"
        "  - {service: a, protocol: tcp, prefix: 192.0.2.0/24, port: 80-90}\n"
        "  - {reject: true, protocol: tcp, prefix: 192.0.2.0/24, port: 85-95}\n");
    ASSERT_THAT(checked.errors, SizeIs(1)) << errors_of(checked);
    EXPECT_EQ(checked.errors[0].place.line, 5);
    EXPECT_THAT(checked.errors[0].message, AllOf(HasSubstr("overlap"), HasSubstr("sluice.yaml:4"),
                                                 HasSubstr("sluice.yaml:5")));
}

TEST(Config, RefusesRangesThatNestDeeperThan16) {
    std::string list;
    for (int i = 0; i < 17; ++i)
        list += (i > 0 ? ", " : "") + std::to_string(100 + i) + "-" + std::to_string(1000 - i);
    const CheckedConfig checked =
        check(with_binding("service: a, protocol: tcp, prefix: ::1, port: [" + list + "]"));
    ASSERT_THAT(checked.errors, SizeIs(1));
    EXPECT_EQ(checked.errors[0].place.line, 3);
    EXPECT_THAT(checked.errors[0].message, HasSubstr("more than 16 deep"));
}

// ---- several files -----------------------------------------------------------------------------

TEST(ConfigInclude, RefusesFilesThatAreMissingOrSayWhatOnlyTheMainFileMay) {
    expect_refused(
        {"version: 1\ninclude: [conf.d/a.yaml]\n", "2:11", "cannot read 'conf.d/a.yaml'"});
    expect_refused(
        {"version: 1\ninclude: [[a]]\n", "2:11", "a file to include is missing: found a list"});
    expect_refused({"version: 1\ninclude: [\"\"]\n", "2:11", "is not a path"});
    expect_refused({"version: 1\ninclude: [\"a\\nb\"]\n", "2:11", "is not a path"});
    for (const std::string key :
         {"version: 1", "include: [x.yaml]", "defaults: {unavailable: pass}",
          "admins: {users: [x]}", "guards: {allow_empty: true}"}) {
        const CheckedConfig checked = check("version: 1\ninclude: [a.yaml]\n",
                                            {{"a.yaml", "services: {a: {}}\n" + key + "\n"}});
        EXPECT_THAT(errors_of(checked),
                    AllOf(HasSubstr("a.yaml:2:1: "), HasSubstr("main file only")))
            << key;
        EXPECT_THAT(checked.errors, SizeIs(1));
    }
}

TEST(ConfigInclude, SaysInWhichFileAProblemIs) {
    const CheckedConfig checked = check(
        "version: 1\ninclude: [conf.d/*.yaml]\nservices: {a: {}}\n",
        {{"conf.d/a.yaml", "services: {a: {}}\n"},
         {"conf.d/b.yaml", "bindings:\n  - {service: a, prtocol: tcp, prefix: ::1, port: 1}\n"},
         {"conf.d/c.yaml", "- x\n"},
         {"conf.d/d.yaml", "a: [\n"},
         {"conf.d/e.yaml", "bindngs: []\n"}});
    const std::string errors = errors_of(checked);
    EXPECT_THAT(
        errors,
        HasSubstr("conf.d/a.yaml:1:12: service 'a' is defined twice, first at sluice.yaml:3"));
    EXPECT_THAT(errors, HasSubstr("conf.d/b.yaml:2:18: unknown key 'prtocol'"));
    EXPECT_THAT(errors, HasSubstr("conf.d/c.yaml:1:1: an included file is a map"));
    EXPECT_THAT(errors, HasSubstr("conf.d/d.yaml:2:1: not valid YAML"));
    EXPECT_THAT(errors, HasSubstr("conf.d/e.yaml:1:1: unknown key 'bindngs'"));
    EXPECT_THAT(checked.errors, SizeIs(5)) << errors;
}

TEST(PrefixFile, SaysTheLineAndColumnOfEveryProblem) {
    const CheckedConfig checked =
        check(with_binding("service: a, protocol: tcp, port: 80, prefixes_from: list.txt"),
              {{"list.txt", "192.0.2.0/24 # fine\n\n   192.0.2.1/24\r\noops\n::ffff:0:0/96\n"}});
    const std::string errors = errors_of(checked);
    EXPECT_THAT(errors, HasSubstr("list.txt:3:4: '192.0.2.1/24' has bits set below its mask"));
    EXPECT_THAT(errors, HasSubstr("list.txt:4:1: 'oops' is not"));
    EXPECT_THAT(errors, HasSubstr("list.txt:5:1: "));
    ASSERT_THAT(checked.errors, SizeIs(3)) << errors;
    EXPECT_EQ(checked.errors[0].line, "   192.0.2.1/24");
    EXPECT_EQ(checked.errors[0].width, 12);
    EXPECT_THAT(checked.errors[0].hint, HasSubstr("192.0.2.0/24"));
}

TEST(PrefixFile, RefusesAPrefixThatStandsTwice) {
    const CheckedConfig checked =
        check(with_binding("service: a, protocol: tcp, port: 80, prefixes_from: list.txt"),
              {{"list.txt", "192.0.2.0/24\n192.0.3.0/24\n192.0.2.0/24\n"}});
    EXPECT_THAT(errors_of(checked), HasSubstr("list.txt:3:1: tcp 192.0.2.0/24 80 is bound twice, "
                                              "first at list.txt:1 to a"));
}

// ---- limits ------------------------------------------------------------------------------------

TEST(ConfigLimits, ReportTheFirst20ErrorsAndCountTheRest) {
    std::string text = "version: 1\n";
    for (int i = 0; i < 25; ++i) text += "zz" + std::to_string(i) + ": 1\n";
    const CheckedConfig checked = check(text);
    EXPECT_THAT(checked.errors, SizeIs(20));
    EXPECT_EQ(checked.more_errors, 5u);
    EXPECT_EQ(checked.errors.back().place.line, 21);
}

TEST(ConfigLimits, HoldForDepth) {
    const auto nested_lists = [](int depth) {
        return "version: " + std::string(static_cast<std::size_t>(depth), '[') +
               std::string(static_cast<std::size_t>(depth), ']') + "\n";
    };
    EXPECT_THAT(errors_of(check(nested_lists(15))), HasSubstr("version is 1"));
    EXPECT_THAT(errors_of(check(nested_lists(16))), HasSubstr("nested more than 16 deep"));
    EXPECT_THAT(errors_of(check(nested_lists(100000))), HasSubstr("nested more than 16 deep"));
}

std::string with_aliases(int count) {
    std::string text =
        "version: 1\nservices: {a: {}}\nbindings:\n"
        "  - {service: a, protocol: &p tcp, prefix: 192.0.2.0, port: 1}\n";
    for (int i = 0; i < count; ++i)
        text += "  - {service: a, protocol: *p, prefix: 198.51.100." + std::to_string(i) +
                ", port: 1}\n";
    return text;
}

TEST(ConfigLimits, HoldForAliases) {
    EXPECT_TRUE(check(with_aliases(64)).valid()) << errors_of(check(with_aliases(64)));
    EXPECT_THAT(errors_of(check(with_aliases(65))),
                HasSubstr("sluice.yaml:69:28: more than 64 aliases"));
}

TEST(ConfigLimits, HoldForABombOfAliases) {
    std::string text = "version: 1\na0: &a0 [x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 8; ++i) {
        const std::string before = "*a" + std::to_string(i - 1);
        text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
        for (int k = 0; k < 8; ++k) text += (k > 0 ? ", " : "") + before;
        text += "]\n";
    }
    EXPECT_FALSE(check(text + "bindings: *a7\n").valid());
}

TEST(ConfigLimits, HoldForTheSizeOfAFile) {
    EXPECT_TRUE(check("version: 1\n#" + std::string(1U << 20U, 'x') + "\n").valid());
    expect_refused({("version: 1\n#" + std::string(32U << 20U, 'x') + "\n").c_str(), "1:1",
                    "larger than 32 MiB", "prefixes_from"});
}

TEST(ConfigLimits, HoldForServices) {
    const auto services = [](int count) {
        std::string text = "version: 1\nservices:\n";
        for (int i = 0; i < count; ++i) text += "  s" + std::to_string(i) + ":\n";
        return text;
    };
    EXPECT_TRUE(check(services(4096)).valid());
    EXPECT_THAT(errors_of(check(services(4097))),
                HasSubstr("4,097 services are defined; there can be 4,096"));
}

TEST(ConfigLimits, HoldForPrefixes) {
    const std::string text =
        with_binding("service: a, protocol: tcp, port: any, prefixes_from: list.txt");
    std::string list;
    for (unsigned i = 0; i < 1'000'000; ++i)
        list += "10." + std::to_string(i >> 16U) + "." + std::to_string(i >> 8U & 255U) + "." +
                std::to_string(i & 255U) + "\n";
    EXPECT_TRUE(check(text, {{"list.txt", list}}).valid());
    EXPECT_EQ(errors_of(check(text, {{"list.txt", list + "192.0.2.1\n"}})),
              "sluice.yaml:1:1: the table holds 1,000,000 prefixes; 1,000,001 were asked for\n");
}

TEST(ConfigLimits, HoldForProductsOfLists) {
    std::string list;
    for (int i = 1; i <= 65535; ++i) list += (i > 1 ? "," : "") + std::to_string(i);
    std::string prefixes;
    for (int i = 0; i < 64; ++i) prefixes += (i > 0 ? "," : "") + ("10.0.0." + std::to_string(i));
    const CheckedConfig checked = check(with_binding("service: a, protocol: tcp, prefix: [" +
                                                     prefixes + "], port: [" + list + "]"));
    EXPECT_THAT(errors_of(checked),
                HasSubstr("the config has 4,194,240 bindings; there can be 4,000,000"));
}

// ---- what goes with an error -------------------------------------------------------------------

TEST(Problem, HasTheLineItselfAndHowMuchOfItIsMeant) {
    const CheckedConfig checked =
        check(with_binding("service: a, protocol: tcp, prefx: 192.0.2.1, port: 80"));
    ASSERT_THAT(checked.errors, SizeIs(1));
    EXPECT_THAT(problem_lines(checked.errors[0]),
                ::testing::ElementsAre(
                    "sluice.yaml:3:40: unknown key 'prefx' in a binding",
                    "  3 | bindings: [{service: a, protocol: tcp, prefx: 192.0.2.1, port: 80}]",
                    "    |                                        ^^^^^"));
}

TEST(Problem, WithoutALineIsItsPlaceAndMessage) {
    const auto lines = [](const Problem& problem) { return problem_lines(problem); };
    EXPECT_THAT(lines({{"a.yaml", 0, 0}, "why\n", "", "", 0}),
                ::testing::ElementsAre("a.yaml: why\\x0a"));
    EXPECT_THAT(lines({{"", 0, 0}, "why", "", "x", 0}), ::testing::ElementsAre("why"));
    EXPECT_THAT(lines({{"a.yaml", 12, 0}, "why", "", "x: y", 0}),
                ::testing::ElementsAre("a.yaml:12: why", "  12 | x: y"));
}

TEST(Problem, ManyAreOneErrorWithAllPlaces) {
    std::string text = "version: 1\nzz0: 1\nservce: 1\n";
    const Error error = to_error(check(text));
    EXPECT_EQ(error.failure(), Failure::invalid);
    EXPECT_THAT(error.why(),
                AllOf(HasSubstr("sluice.yaml:2:1: unknown key 'zz0'"),
                      HasSubstr("sluice.yaml:3:1: unknown key 'servce'"),
                      HasSubstr("hint: did you mean 'services'?"), HasSubstr("hint: known are")));
    EXPECT_EQ(error.hint(), "") << "each stands below its own problem";
    const Error alone = to_error(check("version: 1\nservce: 1\n"));
    EXPECT_THAT(alone.why(), Not(HasSubstr("hint")));
    EXPECT_EQ(alone.hint(), "did you mean 'services'?");
    ASSERT_THAT(error.where(), SizeIs(2));
    EXPECT_EQ(to_string(error.where()[1]), "sluice.yaml:3:1");
    for (int i = 1; i < 25; ++i) text += "zz" + std::to_string(i) + ": 1\n";
    EXPECT_THAT(to_error(check(text)).why(), HasSubstr("… 6 more"));
    EXPECT_EQ(to_error(CheckedConfig()).failure(), Failure::invalid);
}

TEST(Problem, OfAMissingMainFileNamesItOnceAndNoLineOfIt) {
    MemoryFiles files({});
    const CheckedConfig checked = check_config(files, "/etc/sluice/sluice.yaml");
    ASSERT_THAT(checked.errors, SizeIs(1));
    EXPECT_EQ(errors_of(checked),
              "/etc/sluice/sluice.yaml: cannot read it: No such file or directory\n");
}

TEST(Problem, MarksTheColumnOfALineThatIsNotAscii) {
    const Problem problem{{"a.yaml", 1, 7}, "why", "", "\tä: {é: 1}", 2};
    EXPECT_THAT(
        problem_lines(problem),
        ::testing::ElementsAre("a.yaml:1:7: why", "  1 | \\x09ä: {é: 1}", "    |         ^"))
        << "columns are counted in bytes";
}

TEST(Problem, ShowsOfALongLineWhatIsAboutTheColumn) {
    std::string line(300, 'a');
    line.replace(150, 5, "prefx");
    const auto lines = problem_lines({{"a.yaml", 7, 151}, "why", "", line, 5});
    ASSERT_THAT(lines, SizeIs(3));
    for (const std::string& one : lines) EXPECT_LE(columns(one), 80u);
    EXPECT_EQ(columns(lines[1].substr(0, lines[1].find("prefx"))), lines[2].find('^'));
    EXPECT_THAT(lines[2], ::testing::EndsWith(" ^^^^^"));
    EXPECT_THAT(lines[1], ::testing::EndsWith("…"));
}

}  // namespace
}  // namespace sluice
