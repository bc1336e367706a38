#include "base/yaml.h"

#include <re2/re2.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <sstream>
#include <unordered_map>

namespace penstock::yaml {
namespace {

constexpr int depth_max = 64;
constexpr std::size_t documents_max = 1'000;
constexpr std::size_t nodes_max = 1'000'000;  // of a text, each alias as what it stands for

// Looks at a text before it is built: yaml-cpp makes documents without an end where a closing
// bracket stands alone, and a few aliases of aliases stand for more than there is memory.
class Bounds : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1 && mark.pos == begun_)
      throw YAML::ParserException(mark, "what stands here belongs to nothing");
    if (documents_ > documents_max)
      throw YAML::ParserException(mark, "more than 1000 documents in one text");
    begun_ = mark.pos;
    sizes_.clear();
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add(mark, 1, anchor); }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string&) override {
    add(mark, 1, anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto known = sizes_.find(anchor);
    if (known == sizes_.end())
      throw YAML::ParserException(mark, "an alias stands within what it stands for");
    add(mark, known->second, 0);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(mark, anchor);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(mark, anchor);
  }
  void OnMapEnd() override { end(); }

 private:
  struct Open {
    YAML::Mark mark;
    YAML::anchor_t anchor;
    std::size_t size = 1;
  };
  void begin(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (open_.size() >= depth_max)
      throw YAML::ParserException(mark, "is nested deeper than 64 levels");
    open_.push_back({mark, anchor});
  }
  void end() {
    const Open done = open_.back();
    open_.pop_back();
    add(done.mark, done.size, done.anchor);
  }
  void add(const YAML::Mark& mark, std::size_t size, YAML::anchor_t anchor) {
    if (anchor != 0) sizes_[anchor] = size;
    std::size_t& all = open_.empty() ? total_ : open_.back().size;
    all += size;
    if (all > nodes_max)
      throw YAML::ParserException(mark, "the text stands for more than 1,000,000 values");
  }

  std::size_t documents_ = 0, total_ = 0;
  int begun_ = 0;
  std::vector<Open> open_;
  std::unordered_map<YAML::anchor_t, std::size_t> sizes_;  // of what was named and is whole
};

void check_bounds(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  Bounds bounds;
  while (parser.HandleNextDocument(bounds)) {
  }
}

json::value scalar(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return json::value(text);  // quoted
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
    return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  static const RE2 whole("[-+]?[0-9]+"),
      real("[-+]?(\\.[0-9]+|[0-9]+(\\.[0-9]*)?)([eE][-+]?[0-9]+)?");
  const char* begin = text.data() + (text.front() == '+' ? 1 : 0);
  const char* end = text.data() + text.size();
  if (RE2::FullMatch(text, whole)) {
    std::int64_t number = 0;
    if (std::from_chars(begin, end, number).ec == std::errc{}) return number;
  }
  if (RE2::FullMatch(text, real)) {
    double number = 0;
    if (std::from_chars(begin, end, number).ec == std::errc{}) return number;
  }
  return json::value(text);
}

class Reader {
 public:
  explicit Reader(Document& document) : document_(document) {}

  Result<json::value> read(const YAML::Node& node,
                           const std::string& path,  // NOLINT(misc-no-recursion)
                           int depth) {
    const int line = node.Mark().line + 1;
    if (!path.empty()) document_.lines[path] = line;
    if (depth > depth_max) return fault(line, "is nested deeper than 64 levels");
    if (node.IsScalar()) return scalar(node);
    if (node.IsNull()) return json::value(nullptr);
    if (node.IsSequence()) return list(node, path, depth);
    return object(node, path, depth);
  }

 private:
  static Error fault(int line, const std::string& problem) {
    return {Code::invalid_argument, "line " + std::to_string(line) + ": " + problem};
  }

  Result<json::value> list(const YAML::Node& node,
                           const std::string& path,  // NOLINT(misc-no-recursion)
                           int depth) {
    json::array out;
    for (const YAML::Node& item : node)
      out.push_back(TRY(read(item, path + "[" + std::to_string(out.size()) + "]", depth + 1)));
    return json::value(std::move(out));
  }

  Result<json::value> object(const YAML::Node& node,
                             const std::string& path,  // NOLINT(misc-no-recursion)
                             int depth) {
    json::object out;
    for (const auto& entry : node) {
      const int line = entry.first.Mark().line + 1;
      if (!entry.first.IsScalar()) return fault(line, "a key must be a plain text");
      const std::string& key = entry.first.Scalar();
      if (out.contains(key)) return fault(line, "key \"" + key + "\" stands twice");
      const std::string where = path.empty() ? key : path + "." + key;
      out[key] = TRY(read(entry.second, where, depth + 1));
      document_.lines[where] = line;
    }
    return json::value(std::move(out));
  }

  Document& document_;
};

void emit(YAML::Emitter& out, const json::value& value) {  // NOLINT(misc-no-recursion)
  if (const auto* object = value.if_object()) {
    out << YAML::BeginMap;
    for (const auto& entry : *object) {
      out << YAML::Key << std::string(entry.key()) << YAML::Value;
      emit(out, entry.value());
    }
    out << YAML::EndMap;
  } else if (const auto* array = value.if_array()) {
    out << YAML::BeginSeq;
    for (const json::value& item : *array) emit(out, item);
    out << YAML::EndSeq;
  } else if (const auto* text = value.if_string()) {
    YAML::Node plain;
    plain = std::string(*text);
    // A text that would read back as something else (true, 12, null) must keep its quotes.
    if (text->find('\n') != json::string::npos)
      out << YAML::Literal << std::string(*text);
    else if (scalar(plain).is_string())
      out << std::string(*text);
    else
      out << YAML::DoubleQuoted << std::string(*text);
  } else if (value.is_null()) {
    out << YAML::Null;
  } else {
    out << json::serialize(value);
  }
}

}  // namespace

Result<std::vector<Document>> parse(std::string_view text) {
  try {
    std::vector<Document> documents;
    const std::string whole(text);
    check_bounds(whole);
    for (const YAML::Node& node : YAML::LoadAll(whole)) {
      if (node.IsNull()) continue;
      Document& document = documents.emplace_back();
      document.value = TRY(Reader(document).read(node, "", 0));
    }
    return documents;
  } catch (const YAML::Exception& fault) {
    return Error{Code::invalid_argument,
                 "line " + std::to_string(fault.mark.line + 1) + ": " + fault.msg};
  }
}

std::string print(const json::value& value) {
  YAML::Emitter out;
  emit(out, value);
  return std::string(out.c_str()) + "\n";
}

}  // namespace penstock::yaml
