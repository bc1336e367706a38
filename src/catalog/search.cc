#include "catalog/search.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "audit/audit.h"
#include "base/log.h"
#include "catalog/classes.h"
#include "catalog/search_store.h"

namespace penstock::catalog {
namespace {

constexpr std::int64_t events_a_turn = 100;
constexpr std::size_t word_bytes_max = 64, words_max = 2'000, text_bytes_max = 50'000;
constexpr std::size_t query_words_max = 8;
// How much a word counts by where it stands.
constexpr std::int64_t in_name = 8, in_tags = 4, in_summary = 2, in_text = 1;

// The words of a document with the weight of the best place that each stands at.
class Words {
 public:
  void add(std::string_view text, std::int64_t weight) {
    for (std::string& word : words_of(text.substr(0, text_bytes_max))) {
      if (by_word_.size() >= words_max && !by_word_.contains(word)) continue;
      auto& held = by_word_[std::move(word)];
      held = std::max(held, weight);
    }
  }
  // Every text of a declaration, but for the code of files.
  void add_all(const json::value& value, std::int64_t weight) {
    if (value.is_string()) add(std::string_view(value.get_string()), weight);
    if (const json::array* list = value.if_array())
      for (const json::value& item : *list) add_all(item, weight);
    if (const json::object* object = value.if_object())
      for (const auto& entry : *object)
        if (entry.key() != "files") add_all(entry.value(), weight);
  }
  const std::map<std::string, std::int64_t>& all() const { return by_word_; }

 private:
  std::map<std::string, std::int64_t> by_word_;
};

std::vector<std::string> texts_at(const json::object& object, std::string_view field) {
  std::vector<std::string> out;
  if (const json::value* list = object.if_contains(field); list && list->is_array())
    for (const json::value& item : list->get_array())
      if (item.is_string()) out.emplace_back(item.get_string());
  return out;
}

std::string text_at(const json::object& object, std::string_view field) {
  const json::value* value = object.if_contains(field);
  return value && value->is_string() ? std::string(value->get_string()) : "";
}

std::vector<std::string> values_of(const std::string& list) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    if (comma > at) out.push_back(list.substr(at, comma - at));
    at = comma + 1;
  }
  return out;
}

Result<void> put(sql::Tx& tx, SearchDocument document, Words words, const std::string& place = "") {
  std::ranges::sort(document.tags);
  document.tags.erase(std::unique(document.tags.begin(), document.tags.end()), document.tags.end());
  words.add(document.name, in_name);
  words.add(document.kind, in_text);
  words.add(document.owner, in_text);
  for (const std::string& tag : document.tags) words.add(tag, in_tags);
  words.add(document.summary, in_summary);
  if (document.summary.size() > 300) {
    std::size_t cut = 300;
    while (cut > 0 && (static_cast<unsigned char>(document.summary[cut]) & 0xC0) == 0x80) --cut;
    document.summary = document.summary.substr(0, cut) + "…";
  }
  return store::put_document(tx, document, words.all(), place);
}

// Where its rows are, to choose by.
std::string place_of(const Source& source) {
  if (source.postgres) return "postgres";
  if (source.kafka) return "kafka";
  return is_object_path(source.path) ? "s3" : "file";
}

// A source's columns are found by themselves, beside the source.
Result<void> put_columns(sql::Tx& tx, const SearchDocument& parent, const Source& source,
                         const std::vector<ColumnClass>& classes) {
  for (std::size_t i = 0; i < source.columns.size(); ++i) {
    const SourceColumn& column = source.columns[i];
    SearchDocument document = parent;
    document.urn = parent.urn + "#" + column.name;
    document.parent = parent.urn;
    document.kind = "column";
    document.name = source.name + "." + column.name;
    document.classification = name_of(classes.at(i).classification);
    document.tags = classes.at(i).tags;
    document.summary = column.description.value_or("");
    Words words;
    words.add(column.name, in_name);
    if (column.unit) words.add(*column.unit, in_text);
    TRY(put(tx, std::move(document), std::move(words)));
  }
  return {};
}

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty() && word.size() <= word_bytes_max) out.push_back(word);
    word.clear();
  };
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (byte >= 0x80 || std::isalnum(byte))
      word += byte < 0x80 ? static_cast<char>(std::tolower(byte)) : letter;
    else
      end_word();
  }
  end_word();
  return out;
}

Result<bool> Search::run_once() {
  const Call call{.actor = "service:search"};
  const auto behind = TRY(db_.read(call, [&](sql::Tx& tx) -> Result<bool> {
    const std::int64_t position = TRY(store::search_position(tx));
    return !TRY(audit::subjects_from(tx, position, 1)).empty();
  }));
  if (!behind) return false;
  return db_.write(call, [&](sql::Tx& tx) -> Result<bool> {
    const std::int64_t position = TRY(store::search_position(tx));
    const auto events = TRY(audit::subjects_from(tx, position, events_a_turn));
    if (events.empty()) return false;
    std::set<std::pair<std::string, std::string>> subjects;
    for (const audit::Touched& event : events) subjects.emplace(event.project, event.subject);
    for (const auto& [project, subject] : subjects) {
      Call theirs = call;
      theirs.project = project;
      // What cannot be read as what it is shall not keep all that came after it from being found.
      const auto done = index(tx, theirs, subject);
      if (!done && done.error().code != Code::invalid_argument) return done.error();
      if (!done) log::warn("not_indexed", {{"subject", subject}, {"error", done.error().message}});
    }
    TRY(store::move_search(tx, events.back().number + 1));
    return events.size() == static_cast<std::size_t>(events_a_turn);
  });
}

Result<void> Search::index(sql::Tx& tx, const Call& call, const std::string& subject) {
  const auto urn = Urn::parse(subject);
  // A prediction is found by its id; there are too many to list, and its edges are never stored.
  if (!urn || urn->kind == "prediction" || urn->kind == "token") return {};
  const bool counted = urn->version.find_first_not_of("0123456789") == std::string::npos;
  if (counted) {
    const auto resource = resources::get(tx, call.project, urn->kind, urn->name);
    if (resource) return index_resource(tx, call, *resource);
    if (resource.error().code != Code::not_found) return resource.error();
  }
  const TraceNode node = TRY(catalog_.describe(tx, call, subject));
  TRY(store::remove_documents(tx, call.project, subject));
  if (node.owner.empty() && node.summary.empty() && node.detail.empty()) return {};
  const std::string version = urn->version.empty() ? "" : "@" + urn->version;
  const std::string called = text_at(node.detail, "name");
  SearchDocument document{
      .project = call.project,
      .urn = subject,
      .kind = urn->kind,
      .name = (called.empty() ? urn->name : called) + version,
      .owner = node.owner,
      .classification = node.classification ? std::string(name_of(*node.classification)) : "",
      .tags = texts_at(node.detail, "tags"),
      .summary = node.summary,
      .updated_at = clock_.now()};
  Words words;
  words.add(urn->name, in_name);
  words.add_all(node.detail, in_text);
  return put(tx, std::move(document), std::move(words));
}

Result<void> Search::index_resource(sql::Tx& tx, const Call& call,
                                    const resources::Resource& resource) {
  const std::string urn = resource.kind + ":" + resource.name;
  TRY(store::remove_documents(tx, call.project, urn));
  SearchDocument document{.project = call.project,
                          .urn = urn,
                          .kind = resource.kind,
                          .name = resource.name,
                          .owner = resource.owner,
                          .tags = texts_at(resource.declaration, "tags"),
                          .summary = text_at(resource.declaration, "description"),
                          .updated_at = resource.applied_at};
  Words words;
  words.add_all(resource.declaration, in_text);
  if (resource.kind != "source") return put(tx, std::move(document), std::move(words));
  const auto source = TRY(decode<Source>(resource.declaration));
  const auto classes = TRY(column_classes(tx, call.project, source));
  Classification strictest = Classification::open;
  for (const ColumnClass& column : classes) {
    strictest = std::max(strictest, column.classification);
    document.tags.insert(document.tags.end(), column.tags.begin(), column.tags.end());
  }
  document.classification = name_of(strictest);
  TRY(put(tx, document, std::move(words), place_of(source)));
  return put_columns(tx, document, source, classes);
}

Result<SearchResult> Search::find(const Call& call, const SearchQuery& query) {
  auto words = words_of(query.text);
  std::ranges::sort(words);
  words.erase(std::unique(words.begin(), words.end()), words.end());
  if (words.size() > query_words_max)
    return Error{Code::invalid_argument,
                 "text has more than 8 words",
                 {{"text", "must have at most 8 different words"}}};
  if (words.empty() && query.text.find_first_not_of(' ') != std::string::npos)
    return Error{Code::invalid_argument,
                 "text has no word",
                 {{"text", "must hold letters or digits, or be empty"}}};
  store::SearchFilter filter{.project = call.project,
                             .by_facet = {{"classification", values_of(query.classification)},
                                          {"kind", values_of(query.kind)},
                                          {"owner", values_of(query.owner)},
                                          {"place", values_of(query.place)},
                                          {"tag", values_of(query.tag)}}};
  return db_.read(call, [&](sql::Tx& tx) -> Result<SearchResult> {
    const std::int64_t all = TRY(store::count_documents(tx, call.project));
    for (const std::string& word : words) {
      const std::int64_t having = TRY(store::count_having(tx, call.project, word));
      // The rarer, the more it says (inverse document frequency), in thousandths: whole numbers
      // order alike on every database.
      const double rarity = std::log(
          1.0 + static_cast<double>(all) / static_cast<double>(std::max<std::int64_t>(1, having)));
      filter.words.push_back({word, std::llround(1000.0 * rarity)});
    }
    SearchResult out;
    out.total = TRY(store::count_found(tx, filter));
    out.hits = TRY(store::found(tx, filter, query.limit, query.offset));
    for (const auto& [facet, values] : filter.by_facet)
      out.facets[facet] = TRY(store::facet_counts(tx, filter, facet));
    const std::int64_t next = query.offset + query.limit;
    if (next < out.total && next <= 10'000) out.next_offset = next;
    return out;
  });
}

}  // namespace penstock::catalog
