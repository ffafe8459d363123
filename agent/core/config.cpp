// SPDX-License-Identifier: Apache-2.0
#include "core/config.h"

#include <algorithm>
#include <set>

#include "core/config_dataplane.h"
#include "core/config_reader.h"
#include "core/lint.h"
#include "core/listen.h"
#include "core/text.h"
#include "core/unit_name.h"
#include "sluice/abi.h"

namespace sluice {
namespace {

constexpr std::size_t largest_config = std::size_t{32}
                                       << 20U;    // bytes; prefix lists: see sys/files.h
constexpr std::size_t most_prefixes = 1'000'000;  // limits.prefixes
constexpr std::size_t most_bindings = 4'000'000;  // before their prefixes are counted
constexpr std::size_t longest_description = 1000;
constexpr std::size_t most_warnings = 20;     // of one kind
constexpr std::size_t most_list_errors = 20;  // of one prefix file; its other lines are skipped

std::string directory_of(std::string_view path) {
    const auto slash = path.rfind('/');
    return slash == std::string_view::npos ? "" : std::string(path.substr(0, slash + 1));
}

// "conf.d/../lists/a.txt" is "lists/a.txt" to people.
std::string tidy(std::string path) {
    for (std::size_t up = 0; (up = path.find("/../", up)) != std::string::npos;) {
        const std::size_t slash = up == 0 ? std::string::npos : path.rfind('/', up - 1);
        const std::size_t start = slash == std::string::npos ? 0 : slash + 1;
        const std::string above = path.substr(start, up - start);
        if (above.empty() || above == "..") {
            up += 3;
            continue;
        }
        path.erase(start, up + 4 - start);
        up = 0;
    }
    return path;
}

bool is_pattern(std::string_view path) {
    return path.find_first_of("*?[") != std::string_view::npos;
}

void hash_into(std::uint64_t& hash, std::string_view text) {
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;  // FNV-1a
    hash = (hash ^ 0xffU) * 0x100000001b3ULL;                              // ends each text
}

// A binding as it stands in a file, with the place for messages.
struct Written {
    Binding binding;
    const ConfigFile* file = nullptr;
    std::uint32_t column = 0;
    std::uint32_t width = 1;
};

// Where a word stands, to be repeated in messages.
struct Used {
    std::string name;
    const ConfigFile* file = nullptr;
    const YamlNode* node = nullptr;
};

struct Defined {
    const ConfigFile* file = nullptr;
    const YamlNode* key = nullptr;
    bool says_unavailable = false;
};

template <class T>
struct Located {
    T value;
    const ConfigFile* file;
    std::uint32_t line, column, width;
};

class Parser {
  public:
    Parser(ConfigFiles& files, CheckedConfig& out) : files_(files), out_(out), reader_(out) {}

    void parse(const std::string& path) {
        main_name_ = path;
        const ConfigFile* main = load(path, path);
        if (main == nullptr) return;
        const YamlNode* root = main->document->root();
        if (root == nullptr) {
            reader_.error_at(*main, 0, 0, 1, "the config is empty",
                             "it needs at least: version: 1");
            return;
        }
        read_main(*main, *root);
        for (const auto& [file, node] : bindings_) read_bindings(*file, *node);
        finish();
    }

  private:
    using Key = ConfigReader::Key;

    // `known_as`: how messages call it; `path` is relative to the main file's directory.
    const ConfigFile* load_text(const std::string& path, const std::string& known_as,
                                const std::function<void(const Error&)>& missing) {
        auto text = files_.read(path);
        if (!text) {
            missing(text.error());
            return nullptr;
        }
        ConfigFile& file = loaded_.emplace_back();
        file.name = SharedText(known_as);
        file.text = std::move(*text);
        // The main file is the same by whatever path it was named.
        hash_into(config_.content, config_.files.empty() ? std::string_view() : known_as);
        hash_into(config_.content, file.text);
        config_.files.push_back(known_as);
        out_.content = config_.content;
        return &file;
    }

    const ConfigFile* load(const std::string& path, const std::string& known_as,
                           const ConfigFile* from = nullptr, const YamlNode* node = nullptr) {
        const auto missing = [&](const Error& error) {
            ConfigFile nothing;
            nothing.name = SharedText(known_as);
            if (from != nullptr)
                reader_.error(*from, *node, "cannot read " + quoted(known_as) + ": " + error.why());
            else
                reader_.error_of_file(nothing, "cannot read it: " + error.why());
        };
        const ConfigFile* file = load_text(path, known_as, missing);
        if (file == nullptr) return nullptr;
        if (file->text.size() > largest_config) {
            reader_.error_at(*file, 0, 0, 1, "the file is larger than 32 MiB",
                             "long lists of prefixes go into a file for prefixes_from");
            return nullptr;
        }
        auto document = YamlDocument::read(file->text);
        if (!document) {
            const YamlProblem& problem = document.error();
            reader_.error_at(*file, problem.line, problem.column, 1, problem.message, problem.hint);
            return nullptr;
        }
        loaded_.back().document = std::move(*document);
        return file;
    }

    void read_main(const ConfigFile& file, const YamlNode& root) {
        bool version = false;
        std::vector<const YamlNode*> includes;
        const std::vector<Key> keys = {
            {"version",
             [&](const YamlNode&, const YamlNode& v) {
                 version = true;
                 if (!v.is_scalar() || !v.plain || v.text != "1")
                     reader_.error(file, v, "version is 1, not " + quoted(v.text));
             }},
            {"include", [&](const YamlNode&, const YamlNode& v) { includes.push_back(&v); }},
            {"defaults", [&](const YamlNode&, const YamlNode& v) { read_defaults(file, v); }},
            {"admins", [&](const YamlNode&, const YamlNode& v) { read_admins(file, v); }},
            {"services", [&](const YamlNode&, const YamlNode& v) { read_services(file, v); }},
            {"bindings",
             [&](const YamlNode&, const YamlNode& v) { bindings_.emplace_back(&file, &v); }},
            {"guards", [&](const YamlNode&, const YamlNode& v) { read_guards(file, v); }},
            {"dataplane",
             [&](const YamlNode&, const YamlNode& v) {
                 read_dataplane(reader_, file, v, config_.dataplane);
             }},
        };
        if (reader_.take_map(file, root, "the config", keys) && !version)
            reader_.error(file, root, "version is missing", "the first line: version: 1");
        for (const YamlNode* node : includes) read_includes(file, *node);
    }

    void read_includes(const ConfigFile& file, const YamlNode& node) {
        std::set<std::string> paths;
        reader_.each_item(file, node, "include", [&](const YamlNode& item) {
            const auto path = reader_.text(file, item, "a file to include");
            if (!path) return;
            if (path->empty() || !is_plain_text(*path))
                return reader_.error(file, item, quoted(*path) + " is not a path");
            if (!is_pattern(*path)) {
                if (paths.insert(std::string(*path)).second)
                    include(file, item, std::string(*path));
                return;
            }
            for (const std::string& found : files_.glob(std::string(*path)))
                if (paths.insert(found).second) include(file, item, found);
        });
    }

    void include(const ConfigFile& from, const YamlNode& node, const std::string& path) {
        const ConfigFile* file = load(path, path, &from, &node);
        if (file == nullptr || file->document->root() == nullptr) return;
        const auto main_only = [&](const YamlNode& key, const YamlNode&) {
            reader_.error(*file, key, quoted(key.text) + " may stand in the main file only",
                          "an included file has services: and bindings: only");
        };
        reader_.take_map(
            *file, *file->document->root(), "an included file",
            {{"services", [&](const YamlNode&, const YamlNode& v) { read_services(*file, v); }},
             {"bindings",
              [&](const YamlNode&, const YamlNode& v) { bindings_.emplace_back(file, &v); }},
             {"version", main_only},
             {"include", main_only},
             {"defaults", main_only},
             {"admins", main_only},
             {"guards", main_only},
             {"dataplane", main_only}});
    }

    void read_defaults(const ConfigFile& file, const YamlNode& node) {
        reader_.take_map(file, node, "defaults",
                         {{"unavailable", [&](const YamlNode&, const YamlNode& v) {
                               default_unavailable_ = read_unavailable(file, v);
                           }}});
    }

    std::optional<Unavailable> read_unavailable(const ConfigFile& file, const YamlNode& node) {
        if (node.is_map()) {
            std::optional<Unavailable> policy;
            if (node.first == nullptr)
                reader_.error(file, node, "unavailable is reject, pass or {fallback: SERVICE}");
            reader_.take_map(file, node, "unavailable",
                             {{"fallback", [&](const YamlNode&, const YamlNode& v) {
                                   if (auto name = service_name(file, v)) {
                                       policy = {Unavailable::Kind::fallback, *name};
                                       used_.push_back({*name, &file, &v});
                                   }
                               }}});
            return policy;
        }
        if (node.is_scalar() && node.text == "reject") return Unavailable{};
        if (node.is_scalar() && node.text == "pass")
            return Unavailable{Unavailable::Kind::pass, ""};
        reader_.error(file, node, "unavailable is reject, pass or {fallback: SERVICE}");
        return std::nullopt;
    }

    std::optional<std::string> service_name(const ConfigFile& file, const YamlNode& node) {
        const auto text = reader_.text(file, node, "a service's name");
        if (!text) return std::nullopt;
        auto name = parse_service_name(*text);
        if (name) return *name;
        reader_.error(file, node, name.error());
        return std::nullopt;
    }

    void read_admins(const ConfigFile& file, const YamlNode& node) {
        Admins& admins = config_.admins;
        reader_.take_map(
            file, node, "admins",
            {{"users", [&](const YamlNode&,
                           const YamlNode& v) { admins.users = reader_.texts(file, v, "users"); }},
             {"groups", [&](const YamlNode&, const YamlNode& v) {
                  admins.groups = reader_.texts(file, v, "groups");
              }}});
    }

    void read_services(const ConfigFile& file, const YamlNode& node) {
        reader_.each_pair(file, node, "services", [&](const YamlNode& key, const YamlNode& value) {
            const auto name = service_name(file, key);
            if (!name) return;
            const auto [at, fresh] = defined_.try_emplace(*name, Defined{&file, &key, false});
            if (!fresh && at->second.file != &file)  // twice in one map is said by the reader
                reader_.error(file, key,
                              "service " + quoted(*name) + " is defined twice, first at " +
                                  to_string(Place{*at->second.file->name,
                                                  static_cast<int>(at->second.key->line) + 1, 0}));
            if (fresh) read_service(file, *name, value);
        });
    }

    void read_service(const ConfigFile& file, const std::string& name, const YamlNode& node) {
        ServiceConfig& service = config_.services[name];
        if (node.is_empty() || (node.is_scalar() && node.is_null)) return;
        const YamlNode* sockets = nullptr;
        reader_.take_map(
            file, node, "a service",
            {{"description",
              [&](const YamlNode&, const YamlNode& v) {
                  const auto text = reader_.text(file, v, "description");
                  if (text && (text->size() > longest_description || !is_plain_text(*text)))
                      reader_.error(file, v,
                                    "a description is at most 1000 bytes of text on one line");
                  else if (text)
                      service.description = *text;
              }},
             {"unavailable",
              [&](const YamlNode&, const YamlNode& v) {
                  defined_.at(name).says_unavailable = true;
                  service.unavailable = read_unavailable(file, v).value_or(Unavailable{});
              }},
             {"register", [&](const YamlNode&,
                              const YamlNode& v) { read_rule(file, v, service.registration); }},
             {"mixed_ports",
              [&](const YamlNode&, const YamlNode& v) {
                  service.mixed_ports = reader_.boolean(file, v, "mixed_ports").value_or(false);
              }},
             {"sockets",
              [&](const YamlNode&, const YamlNode& v) {
                  read_follow(file, v, service.sockets);
                  sockets = &v;
              }},
             {"bindings", [&](const YamlNode&, const YamlNode& v) {
                  reader_.each_item(file, v, "bindings", [&](const YamlNode& item) {
                      if (item.is_scalar())
                          read_words(file, item, shared(name));
                      else
                          read_binding(file, item, shared(name));
                  });
              }}});
        if (sockets != nullptr && !service.mixed_ports) judge_ports(file, *sockets, service);
    }

    // What is taken by such rules is registered like any other socket: on one local port.
    void judge_ports(const ConfigFile& file, const YamlNode& node, const ServiceConfig& service) {
        std::map<std::pair<Protocol, Family>, ListenTriple> first;
        for (const FollowRule& rule : service.sockets)
            for (const ListenTriple& triple : rule.listen) {
                const auto other =
                    first.try_emplace({triple.protocol, triple.address.family}, triple).first;
                if (other->second.port == triple.port) continue;
                reader_.error(file, node,
                              to_string(other->second) + " and " + to_string(triple) +
                                  " are on two ports, and any of a service's sockets may get any "
                                  "lookup",
                              "make it two services, or set mixed_ports: true");
                return;
            }
    }

    void read_rule(const ConfigFile& file, const YamlNode& node, RegisterRule& rule) {
        reader_.take_map(
            file, node, "register",
            {{"users", [&](const YamlNode&,
                           const YamlNode& v) { rule.users = reader_.texts(file, v, "users"); }},
             {"groups", [&](const YamlNode&,
                            const YamlNode& v) { rule.groups = reader_.texts(file, v, "groups"); }},
             {"units", [&](const YamlNode&, const YamlNode& v) {
                  rule.units = reader_.texts(file, v, "units");
              }}});
    }

    void read_follow(const ConfigFile& file, const YamlNode& node, std::vector<FollowRule>& rules) {
        reader_.each_item(file, node, "sockets", [&](const YamlNode& item) {
            FollowRule rule;
            const auto before = problems();
            const bool map = reader_.take_map(
                file, item, "an element of sockets",
                {{"unit",
                  [&](const YamlNode&, const YamlNode& v) {
                      if (const auto text = reader_.text(file, v, "unit")) {
                          auto unit = parse_unit_name(*text);
                          if (!unit) reader_.error(file, v, unit.error());
                          rule.unit = unit.value_or("");
                      }
                  }},
                 {"listen", [&](const YamlNode&, const YamlNode& v) {
                      reader_.each_item(file, v, "listen", [&](const YamlNode& one) {
                          if (auto triple = read_triple(file, one)) rule.listen.push_back(*triple);
                      });
                  }}});
            const bool fine = map && problems() == before;  // what is missing may be misspelt
            if (fine && rule.unit.empty()) reader_.error(file, item, "unit is missing");
            if (fine && rule.listen.empty()) reader_.error(file, item, "listen is missing");
            rules.push_back(std::move(rule));
        });
    }

    std::size_t problems() const { return out_.errors.size() + out_.more_errors; }

    std::optional<ListenTriple> read_triple(const ConfigFile& file, const YamlNode& node) {
        if (node.is_map()) {
            reader_.error(file, node, "PROTOCOL ADDRESS PORT is a text, not a map",
                          "an address with colons needs quotes: \"tcp :: 443\"");
            return std::nullopt;
        }
        const auto text = reader_.text(file, node, "PROTOCOL ADDRESS PORT");
        if (!text) return std::nullopt;
        const auto words = split(*text, ' ');
        if (words.size() != 3) {
            reader_.error(file, node, quoted(*text) + " is not PROTOCOL ADDRESS PORT");
            return std::nullopt;
        }
        auto protocol = parse_protocol(words[0]);
        auto address = Address::parse(words[1]);
        auto port = parse_port(words[2]);
        if (!protocol) reader_.error(file, node, protocol.error());
        if (!address) reader_.error(file, node, address.error());
        if (!port) reader_.error(file, node, port.error());
        if (!protocol || !address || !port) return std::nullopt;
        return ListenTriple{*protocol, *address, *port};
    }

    void read_guards(const ConfigFile& file, const YamlNode& node) {
        Guards& guards = config_.guards;
        reader_.take_map(
            file, node, "guards",
            {{"max_removed",
              [&](const YamlNode&, const YamlNode& v) {
                  reader_.take_map(
                      file, v, "max_removed",
                      {{"percent",
                        [&](const YamlNode&, const YamlNode& n) {
                            if (auto value = reader_.number(file, n, "percent", 100))
                                guards.max_removed_percent = static_cast<double>(*value);
                        }},
                       {"at_least", [&](const YamlNode&, const YamlNode& n) {
                            if (auto value = reader_.number(file, n, "at_least", most_bindings))
                                guards.max_removed_at_least = *value;
                        }}});
              }},
             {"protected",
              [&](const YamlNode&, const YamlNode& v) {
                  reader_.each_item(file, v, "protected", [&](const YamlNode& item) {
                      if (auto prefix = read<Prefix>(file, item, "a prefix", Prefix::parse))
                          guards.protected_prefixes.push_back(*prefix);
                  });
              }},
             {"allow_empty",
              [&](const YamlNode&, const YamlNode& v) {
                  guards.allow_empty = reader_.boolean(file, v, "allow_empty").value_or(false);
              }},
             {"unserved",
              [&](const YamlNode&, const YamlNode& v) {
                  if (v.is_scalar() && (v.text == "refuse" || v.text == "allow"))
                      guards.refuse_unserved = v.text == "refuse";
                  else
                      reader_.error(file, v, "unserved is refuse or allow");
              }},
             {"host_addresses", [&](const YamlNode&, const YamlNode& v) {
                  if (v.is_sequence() && v.first == nullptr) return;  // the default, spelled out
                  reader_.each_item(file, v, "host_addresses", [&](const YamlNode& item) {
                      if (auto address = read<Address>(file, item, "an address", Address::parse))
                          guards.host_addresses.push_back(*address);
                  });
              }}});
    }

    template <class T>
    std::optional<T> read(const ConfigFile& file, const YamlNode& node, std::string_view what,
                          Result<T> (*parser)(std::string_view)) {
        const auto text = reader_.text(file, node, what);
        if (!text) return std::nullopt;
        auto value = parser(*text);
        if (value) return *value;
        reader_.error(file, node, value.error());
        return std::nullopt;
    }

    // ---- bindings
    // --------------------------------------------------------------------------------

    SharedText shared(const std::string& name) {
        auto& text = names_[name];
        if (text == nullptr) text = SharedText(name);
        return text;
    }

    void read_bindings(const ConfigFile& file, const YamlNode& node) {
        reader_.each_item(file, node, "bindings", [&](const YamlNode& item) {
            if (item.is_scalar() && !item.is_null)
                reader_.error(file, item, "a binding here is a map: its service is not known",
                              "{service: NAME, protocol: tcp, prefix: 192.0.2.0/24, port: any}");
            else
                read_binding(file, item, nullptr);
        });
    }

    struct Entry {
        std::vector<Protocol> protocols;
        std::vector<Located<Prefix>> prefixes;
        std::vector<Ports> ports;
    };

    // `of`: the service it stands in; null at top level, where it names its own.
    void read_binding(const ConfigFile& file, const YamlNode& node, const SharedText& of) {
        Entry entry;
        int targets = of ? 1 : 0;
        bool broken = false, prefix = false, from_file = false, protocol = false, port = false;
        Target target = of ? Target::service(of) : Target::pass();
        const auto before = problems();
        const auto verdict = [&](const YamlNode& v, Target verdict_target, std::string_view what) {
            ++targets;
            if (reader_.boolean(file, v, what).value_or(true) == false)
                reader_.error(file, v, std::string(what) + " can only be true");
            target = std::move(verdict_target);
        };
        std::vector<Key> keys = {
            {"protocol",
             [&](const YamlNode&, const YamlNode& v) {
                 protocol = true;
                 reader_.each_value(file, v, "protocol", [&](const YamlNode& item) {
                     if (auto one = read<Protocol>(file, item, "protocol", parse_protocol))
                         entry.protocols.push_back(*one);
                 });
             }},
            {"prefix",
             [&](const YamlNode&, const YamlNode& v) {
                 prefix = true;
                 reader_.each_value(file, v, "prefix", [&](const YamlNode& item) {
                     if (auto one = read<Prefix>(file, item, "prefix", Prefix::parse))
                         entry.prefixes.push_back(
                             {*one, &file, item.line, item.column, item.width});
                 });
             }},
            {"prefixes_from",
             [&](const YamlNode&, const YamlNode& v) {
                 from_file = true;
                 broken |= !read_list(file, v, entry.prefixes);
             }},
            {"port",
             [&](const YamlNode&, const YamlNode& v) {
                 port = true;
                 reader_.each_value(file, v, "port", [&](const YamlNode& item) {
                     if (auto one = read<Ports>(file, item, "port", Ports::parse))
                         entry.ports.push_back(*one);
                 });
             }},
        };
        if (!of) {
            keys.push_back({"service", [&](const YamlNode&, const YamlNode& v) {
                                ++targets;
                                if (auto name = service_name(file, v)) {
                                    target = Target::service(shared(*name));
                                    used_.push_back({*name, &file, &v});
                                }
                            }});
            keys.push_back({"reject", [&](const YamlNode&, const YamlNode& v) {
                                verdict(v, Target::reject(), "reject");
                            }});
            keys.push_back({"pass", [&](const YamlNode&, const YamlNode& v) {
                                verdict(v, Target::pass(), "pass");
                            }});
        }
        if (!reader_.take_map(file, node, "a binding", keys)) return;
        if (problems() > before) return;  // what is missing may be misspelt
        if (targets != 1)
            return reader_.error(file, node,
                                 "a binding has exactly one of service, reject and pass");
        if (prefix == from_file)
            return reader_.error(file, node, "a binding has either prefix or prefixes_from");
        if (!protocol || !port)
            return reader_.error(file, node,
                                 std::string(protocol ? "port" : "protocol") + " is missing");
        if (!broken) add(entry, target);
    }

    // `tcp,udp 192.0.2.200 443`
    void read_words(const ConfigFile& file, const YamlNode& node, const SharedText& of) {
        const auto text = reader_.text(file, node, "a binding");
        if (!text) return;
        const auto words = split(*text, ' ');
        if (words.size() != 3)
            return reader_.error(file, node, quoted(*text) + " is not PROTOCOL PREFIX PORT",
                                 "for example: tcp 192.0.2.0/24 443");
        Entry entry;
        bool broken = false;
        const auto take = [&](auto parsed, auto& list) {
            if (parsed) return list.push_back(*parsed);
            reader_.error(file, node, parsed.error());
            broken = true;
        };
        for (const auto word : split(words[0], ',')) take(parse_protocol(word), entry.protocols);
        for (const auto word : split(words[2], ',')) take(Ports::parse(word), entry.ports);
        std::vector<Prefix> prefixes;
        for (const auto word : split(words[1], ',')) take(Prefix::parse(word), prefixes);
        for (const Prefix& one : prefixes)
            entry.prefixes.push_back({one, &file, node.line, node.column, node.width});
        if (!broken) add(entry, Target::service(of));
    }

    // A text file of prefixes; relative to the file that names it.
    bool read_list(const ConfigFile& from, const YamlNode& node,
                   std::vector<Located<Prefix>>& prefixes) {
        const auto path = reader_.text(from, node, "prefixes_from");
        if (!path) return false;
        std::string relative(*path);
        if (!relative.starts_with('/') && *from.name != main_name_)
            relative = directory_of(*from.name) + relative;
        const std::string known_as = tidy(relative);
        const ConfigFile* file = load_text(relative, known_as, [&](const Error& error) {
            reader_.error(from, node, "cannot read " + quoted(known_as) + ": " + error.why());
        });
        if (file == nullptr) return false;
        return read_lines(from, node, *file, prefixes);
    }

    bool read_lines(const ConfigFile& from, const YamlNode& node, const ConfigFile& file,
                    std::vector<Located<Prefix>>& prefixes) {
        std::string_view text = file.text;
        std::size_t problems = 0;
        const std::size_t before = prefixes.size();
        for (std::uint32_t line = 0; !text.empty() && problems < most_list_errors; ++line) {
            const auto end = text.find('\n');
            std::string_view one = text.substr(0, end);
            text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
            one = one.substr(0, one.find('#'));
            const auto start = one.find_first_not_of(" \t\r");
            if (start == std::string_view::npos) continue;
            one = one.substr(start, one.find_last_not_of(" \t\r") + 1 - start);
            const auto column = static_cast<std::uint32_t>(start);
            const auto width = static_cast<std::uint32_t>(one.size());
            auto prefix = Prefix::parse(one);
            if (prefix) {
                prefixes.push_back({*prefix, &file, line, column, width});
                continue;
            }
            ++problems;
            reader_.error_at(file, line, column, width, prefix.error().message(),
                             prefix.error().hint());
        }
        if (problems == 0 && prefixes.size() == before)
            reader_.error(from, node, quoted(*file.name) + " has no prefixes");
        return problems == 0 && prefixes.size() > before;
    }

    void add(const Entry& entry, const Target& target) {
        const std::size_t count =
            entry.protocols.size() * entry.prefixes.size() * entry.ports.size();
        total_ += count;
        if (total_ > most_bindings) return;  // said once, by finish()
        for (const Protocol protocol : entry.protocols)
            for (const auto& prefix : entry.prefixes)
                for (const Ports& ports : entry.ports)
                    written_.push_back({{{protocol, prefix.value, ports},
                                         target,
                                         Owner::config,
                                         static_cast<std::int32_t>(prefix.line) + 1,
                                         0,
                                         prefix.file->name,
                                         nullptr},
                                        prefix.file,
                                        prefix.column,
                                        prefix.width});
    }

    // ---- the whole
    // -------------------------------------------------------------------------------

    void finish() {
        apply_default();
        check_names();
        check_fallbacks();
        check_count();
        std::ranges::stable_sort(written_, [](const Written& a, const Written& b) {
            return a.binding.match < b.binding.match;
        });
        check_duplicates();
        if (reader_.failed()) return;
        std::vector<Binding> bindings;
        bindings.reserve(written_.size());
        for (Written& one : written_) bindings.push_back(std::move(one.binding));
        auto table = Bindings::make(std::move(bindings));
        if (!table) return add_table_error(table.error());
        config_.bindings = std::move(*table);
        warn_unused();
        warn_covered();
        out_.config = std::move(config_);
    }

    void apply_default() {
        if (!default_unavailable_) return;
        for (auto& [name, service] : config_.services)
            // The service that everybody falls back to cannot fall back to itself.
            if (!defined_.at(name).says_unavailable && default_unavailable_->fallback != name)
                service.unavailable = *default_unavailable_;
    }

    void check_names() {
        std::vector<std::string_view> names;
        for (const auto& [name, service] : config_.services) names.push_back(name);
        for (const Used& used : used_) {
            if (config_.services.contains(used.name)) continue;
            const auto near = nearest(used.name, names);
            reader_.error(*used.file, *used.node,
                          "service " + quoted(used.name) + " is not defined",
                          near.empty() ? "define it in services:"
                                       : "did you mean '" + std::string(near) + "'?");
        }
        if (config_.services.size() > SLUICE_MAX_SERVICES)
            reader_.error_at(loaded_.front(), 0, 0, 1,
                             with_commas(config_.services.size()) +
                                 " services are defined; there can be " +
                                 with_commas(SLUICE_MAX_SERVICES));
    }

    void check_fallbacks() {
        for (const auto& [name, service] : config_.services) {
            std::vector<std::string> chain{name};
            std::string text = name;
            const ServiceConfig* at = &service;
            while (at->unavailable.kind == Unavailable::Kind::fallback) {
                const std::string& next = at->unavailable.fallback;
                const auto found = config_.services.find(next);
                if (found == config_.services.end()) break;  // said by check_names()
                text += " -> " + next;
                const bool cycle = std::ranges::find(chain, next) != chain.end();
                chain.push_back(next);
                if (cycle || chain.size() > 1 + std::size_t{SLUICE_MAX_FALLBACKS}) {
                    // A cycle is said at the services that are in it.
                    if (!cycle || next == name)
                        reader_.error(*defined_.at(name).file, *defined_.at(name).key,
                                      cycle ? "fallbacks go round in a circle: " + text
                                            : "fallbacks are more than 4 deep: " + text);
                    break;
                }
                at = &found->second;
            }
        }
    }

    void check_count() {
        if (total_ > most_bindings)
            reader_.error_at(loaded_.front(), 0, 0, 1,
                             "the config has " + with_commas(total_) + " bindings; there can be " +
                                 with_commas(most_bindings));
    }

    void check_duplicates() {
        std::size_t prefixes = 0;
        for (std::size_t i = 0; i < written_.size(); ++i) {
            const Written& one = written_[i];
            if (i == 0 || !same_prefix(one.binding.match, written_[i - 1].binding.match))
                ++prefixes;
            if (i == 0 || one.binding.match != written_[i - 1].binding.match) continue;
            const Binding& first = written_[i - 1].binding;
            reader_.error_at(*one.file, static_cast<std::uint32_t>(one.binding.line - 1),
                             one.column, one.width,
                             to_string(one.binding.match) + " is bound twice, first at " +
                                 to_string(Place{*first.file, first.line, 0}) + " to " +
                                 to_string(first.target));
        }
        if (prefixes > most_prefixes)
            reader_.error_at(loaded_.front(), 0, 0, 1,
                             "the table holds " + with_commas(most_prefixes) + " prefixes; " +
                                 with_commas(prefixes) + " were asked for");
    }

    // Overlapping ranges and the like: the error knows the line, what was written the column.
    void add_table_error(const Error& error) {
        const Place place = error.where().empty() ? Place{main_name_, 1, 0} : error.where().front();
        const auto at = std::ranges::find_if(written_, [&](const Written& one) {
            return one.binding.line == place.line && *one.file->name == place.file;
        });
        if (at == written_.end())
            reader_.error_at(loaded_.front(), 0, 0, 1, error.message(), error.hint());
        else
            reader_.error_at(*at->file, static_cast<std::uint32_t>(place.line - 1), at->column,
                             at->width, error.message(), error.hint());
    }

    void warn_unused() {
        std::set<std::string> used;
        for (const Binding& binding : config_.bindings)
            if (binding.target.is_service()) used.insert(*binding.target.name);
        for (const auto& [name, service] : config_.services)
            if (service.unavailable.kind == Unavailable::Kind::fallback)
                used.insert(service.unavailable.fallback);
        for (const auto& [name, place] : defined_)
            if (!used.contains(name))
                reader_.warning(
                    *place.file, *place.key,
                    "service " + quoted(name) + " is defined, but nothing is bound to it");
    }

    void warn_covered() {
        for (const Binding* binding : covered_bindings(config_.bindings, most_warnings)) {
            const auto file = std::ranges::find_if(
                loaded_, [&](const ConfigFile& one) { return *one.name == *binding->file; });
            if (file != loaded_.end())
                reader_.warning_at(
                    *file, static_cast<std::uint32_t>(binding->line - 1),
                    to_string(*binding) + " never answers: more specific bindings take all of it");
        }
    }

    ConfigFiles& files_;
    CheckedConfig& out_;
    ConfigReader reader_;
    Config config_{.services = {},
                   .bindings = {},
                   .admins = {},
                   .guards = {},
                   .dataplane = {},
                   .files = {},
                   .content = 0xcbf29ce484222325ULL};
    std::string main_name_;
    std::deque<ConfigFile> loaded_;  // nodes point into them
    std::map<std::string, Defined> defined_;
    std::map<std::string, SharedText> names_;
    std::optional<Unavailable> default_unavailable_;
    std::vector<std::pair<const ConfigFile*, const YamlNode*>> bindings_;  // lists at top level
    std::vector<Used> used_;
    std::vector<Written> written_;
    std::size_t total_ = 0;
};

}  // namespace

std::string to_string(const Unavailable& policy) {
    switch (policy.kind) {
        case Unavailable::Kind::reject:
            return "reject";
        case Unavailable::Kind::pass:
            return "pass";
        case Unavailable::Kind::fallback:
            break;
    }
    return "fallback " + policy.fallback;
}

CheckedConfig check_config(ConfigFiles& files, const std::string& path) {
    CheckedConfig out;
    Parser(files, out).parse(path);
    if (!out.errors.empty()) out.config.reset();
    return out;
}

}  // namespace sluice
