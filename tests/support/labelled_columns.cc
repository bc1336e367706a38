#include "tests/support/labelled_columns.h"

#include <fstream>
#include <stdexcept>

namespace penstock::test {

using classification::Shape;

std::vector<LabelledColumn> labelled_columns(const std::string& part) {
  static const std::map<std::string, Shape> shapes = {
      {"text", Shape::text},      {"bigint", Shape::whole},    {"double", Shape::real},
      {"timestamp", Shape::time}, {"boolean", Shape::boolean},
  };
  const std::string path = "tests/data/classification/" + part + ".jsonl";
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<LabelledColumn> out;
  for (std::string line; std::getline(file, line);) {
    const json::value one = json::parse(line);
    LabelledColumn& column = out.emplace_back();
    column.table = json::value_to<std::string>(one.at("table"));
    column.columns = json::value_to<std::vector<std::string>>(one.at("columns"));
    column.type = json::value_to<std::string>(one.at("type"));
    column.trap = json::value_to<std::string>(one.at("trap"));
    for (const json::value& tag : one.at("tags").as_array())
      column.tags.insert(json::value_to<std::string>(tag));
    column.sample.name = json::value_to<std::string>(one.at("name"));
    column.sample.shape = shapes.at(column.type);
    for (const json::value& value : one.at("values").as_array()) {
      ++column.sample.rows;
      if (!value.is_null()) column.sample.values.push_back(json::value_to<std::string>(value));
    }
  }
  return out;
}

std::set<std::string> suggested_tags(const LabelledColumn& column) {
  std::set<std::string> tags;
  for (const auto& finding : classification::judge(column.table, column.columns, column.sample))
    tags.insert(finding.tag);
  return tags;
}

std::map<std::string, Tally> tally(const std::vector<LabelledColumn>& columns) {
  std::map<std::string, Tally> tallies;
  for (const LabelledColumn& column : columns) {
    const std::set<std::string> suggested = suggested_tags(column);
    for (const std::string& tag : suggested)
      for (const std::string& under : {tag, std::string("all")})
        ++(column.tags.contains(tag) ? tallies[under].right : tallies[under].wrong);
    for (const std::string& tag : column.tags)
      if (!suggested.contains(tag))
        for (const std::string& under : {tag, std::string("all")}) ++tallies[under].missed;
  }
  return tallies;
}

}  // namespace penstock::test
