#include "catalog/contract.h"

#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::catalog {
namespace {

constexpr const char* orders = R"yaml(
apiVersion: v3.1.0
kind: DataContract
id: 53581432
version: 1.1.0
status: active
tenant: Ours
tags: [sales]
team: {name: sales-data, members: [{username: ana, role: owner}]}
price: {priceAmount: 9.95, priceCurrency: USD}
description: {purpose: What was ordered., usage: Reports}
servers:
  - {server: lake, type: local, path: orders.csv, format: csv}
slaProperties:
  - {id: late, property: latency, value: 4, unit: d, element: orders.placed, driver: regulatory}
  - {property: retention, value: 3, unit: y}
schema:
  - name: orders
    businessName: Orders
    tags: [finance]
    properties:
      - {name: order_id, physicalName: id, logicalType: integer, physicalType: int, primaryKey: true,
         primaryKeyPosition: 1, required: true, unique: true, classification: internal, examples: ["17"]}
      - {name: placed, logicalType: date, physicalType: date, classification: public}
      - {name: email, logicalType: string, classification: very secret, tags: [pii.email],
         quality: [{metric: nullValues, mustBe: 0, severity: warning, businessImpact: operational},
                   {type: text, description: Looks like an address.}]}
      - {name: amount, logicalType: number, physicalType: "decimal(12,2)", classification: internal,
         customProperties: [{property: unit, value: EUR}, {property: other, value: 7}],
         quality: [{name: enough, type: sql, query: "SELECT avg({property}) FROM {object}", mustBeGreaterThan: 5},
                   {metric: invalidValues, mustBeLessThan: 50, unit: percent, arguments: {validValues: [1, 2]}}]}
      - {name: lines, logicalType: array}
    quality:
      - {metric: rowCount, mustBeGreaterThan: 1, description: more than one, schedule: 0 20 * * *}
      - {type: custom, engine: soda, implementation: "checks"}
)yaml";

class ContractTest : public CatalogTest {
 protected:
  static json::object contract(const std::string& text) {
    return test::must(yaml::parse(text))[0].value.as_object();
  }
  ContractSources read(const std::string& text) {
    return test::must(import_contract(ana_, {contract(text), ""}));
  }
  static json::object written(const Source& source) {
    return export_contract(source, 1, [](const std::string&) { return false; });
  }
};

TEST_F(ContractTest, BecomesASourceThatCanBeAppliedAndChecked) {
  std::ofstream(folder_ / "orders.csv")
      << "id,placed,email,amount,lines\n1,2013-01-01,a@b.c,12.5,x\n2,2013-01-02,,1,y\n";
  const auto read_in = read(orders);
  ASSERT_EQ(read_in.sources.size(), 1u);
  const Source& source = read_in.sources[0];
  EXPECT_EQ(source.name, "orders");
  EXPECT_EQ(source.owner, "sales-data");
  EXPECT_EQ(source.description, "What was ordered.");
  EXPECT_EQ(source.tags, (std::vector<std::string>{"sales", "finance"}));
  EXPECT_EQ(source.primary_key, std::vector<std::string>{"id"});
  EXPECT_EQ(source.event_time, "placed");
  EXPECT_EQ(source.freshness->max_age, std::chrono::hours(96));
  EXPECT_EQ(source.format, Format::csv);
  std::string columns;
  for (const SourceColumn& column : source.columns)
    columns += column.name + " " + std::string(name_of(column.type)) + " " +
               std::string(name_of(column.classification)) + "\n";
  EXPECT_EQ(columns,
            "id bigint internal\nplaced timestamp public\nemail text restricted\n"
            "amount decimal internal\nlines text internal\n");
  EXPECT_EQ(source.columns[3].unit, "EUR");
  EXPECT_EQ(source.checks.size(), 5u);
  std::string warnings;
  for (const std::string& warning : read_in.warnings) warnings += warning + "\n";
  for (const char* part : {"\"very secret\": read as restricted", "type text is kept and not run",
                           "type custom is kept", "orders.lines is array: read as text",
                           "orders.lines has no classification"})
    EXPECT_NE(warnings.find(part), std::string::npos) << part << "\n" << warnings;

  json::object declaration = encode(source).as_object();
  declaration["kind"] = "source";
  test::must(resources_.apply(ana_, {.documents = {{.declaration = declaration}}}));
  const auto measure = test::must(quality_.check(ana_, {"orders"}));
  std::string failed;
  for (const CheckResult& check : measure.checks) {
    EXPECT_EQ(check.fault, "") << check.name;
    if (!check.passed) failed += check.name + "\n";
  }
  // Half of the amounts are no valid value, which is not less than 50%; one e-mail is
  // missing.
  EXPECT_EQ(failed, "orders.email nullValues\norders.amount invalidValues\n");
  EXPECT_EQ(test::must(catalog_.contract(ana_, {"orders"})).contract.at("id").as_int64(), 53581432);
}

TEST_F(ContractTest, ComesBackWithAllThatNobodyHereReads) {
  const auto source = read(orders).sources.at(0);
  const json::object out = written(source);
  const json::object before = contract(orders);
  for (const char* kept : {"id", "version", "status", "tenant", "tags", "team", "price",
                           "description", "servers", "slaProperties"})
    EXPECT_EQ(out.at(kept), before.at(kept)) << kept;
  const auto& object = out.at("schema").at(0);
  EXPECT_EQ(object.at("businessName"), "Orders");
  EXPECT_EQ(object.at("tags"), (json::array{"finance"}));
  const auto& properties = object.at("properties").as_array();
  ASSERT_EQ(properties.size(), 5u);
  EXPECT_EQ(properties[0], before.at("schema").at(0).at("properties").at(0));
  EXPECT_EQ(properties[1].at("logicalType"), "date");
  EXPECT_EQ(properties[2].at("classification"), "very secret");
  EXPECT_EQ(properties[2].at("quality").as_array().size(), 2u);
  EXPECT_EQ(properties[2].at("quality").at(0).at("businessImpact"), "operational");
  EXPECT_EQ(properties[3].at("customProperties").as_array().size(), 2u);
  EXPECT_EQ(object.at("quality").as_array().size(), 2u);
  EXPECT_EQ(object.at("quality").at(0).at("schedule"), "0 20 * * *");
  // Once more: nothing changes any further.
  const auto again = test::must(import_contract(ana_, {out, ""})).sources.at(0);
  EXPECT_EQ(encode(written(again)), encode(out));
  EXPECT_EQ(encode(again.checks), encode(source.checks));
}

TEST_F(ContractTest, CarriesEveryCheckOfOurs) {
  test::must(apply(flights(R"(primary_key: [carrier]
freshness: {max_age: 36h, severity: warning}
compatibility: full
refresh_every: 2h
tags: [aviation]
checks:
  - {name: sql, sql: SELECT * FROM flights WHERE delay > 9, severity: warning}
  - {name: present, not_null: [carrier, delay]}
  - {name: key, unique: [carrier, left_at]}
  - {name: few, accepted_values: {column: carrier, values: [AA]}}
  - {name: near, range: {column: distance, max: 9}}
  - {name: code, pattern: {column: carrier, regex: "[A-Z]+"}}
  - {name: some, row_count: {min: 3, max: 3}}
  - {name: new, freshness: {max_age: 2h}}
)")));
  const auto before = test::must(catalog_.show_source(ana_, {"flights"})).source;
  const auto contract = test::must(catalog_.contract(ana_, {"flights"})).contract;
  const auto read_in = test::must(import_contract(ana_, {contract, ""}));
  Source after = read_in.sources.at(0);
  EXPECT_FALSE(after.contract.empty());
  after.contract.clear();
  EXPECT_EQ(encode(after), encode(before));
}

TEST_F(ContractTest, CarriesATableAndNoSecret) {
  Source table{.name = "orders",
               .owner = "sales",
               .event_time = "placed",
               .columns = {{.name = "placed", .type = ColumnType::timestamp}},
               .postgres = PostgresTable{"${ENV:WAREHOUSE}", "sales.orders"}};
  const json::object contract = written(table);
  EXPECT_EQ(contract.at("servers").at(0).at("type"), "custom");
  Source back = test::must(import_contract(ana_, {contract, ""})).sources.at(0);
  back.contract.clear();
  EXPECT_EQ(encode(back), encode(table));
}

TEST_F(ContractTest, DropsARuleThatWasTakenOut) {
  auto source = read(orders).sources.at(0);
  std::erase_if(source.checks, [](const SourceCheck& check) { return check.name == "enough"; });
  source.columns[2].classification = Classification::confidential;
  const json::object out = written(source);
  const auto& properties = out.at("schema").at(0).at("properties");
  EXPECT_EQ(properties.at(3).at("quality").as_array().size(), 1u);
  EXPECT_EQ(properties.at(2).at("classification"), "confidential");
}

TEST_F(ContractTest, RefusesWhatIsNone) {
  const auto fault = [&](const std::string& text) {
    const auto out = import_contract(ana_, {contract(text), ""});
    return out ? "" : test::faults_of(out.error());
  };
  EXPECT_NE(
      fault("kind: Other\napiVersion: v3.1.0\nschema: [{name: a}]").find("contract.kind must be"),
      std::string::npos);
  EXPECT_NE(fault("kind: DataContract\napiVersion: v2.2.2\nschema: [{name: a}]")
                .find("contract.apiVersion must be a version 3"),
            std::string::npos);
  EXPECT_NE(fault("kind: DataContract\napiVersion: v3.1.0").find("contract.schema must hold"),
            std::string::npos);
  EXPECT_NE(fault("kind: DataContract\napiVersion: v3.1.0\nschema: [{}, 7]")
                .find("contract.schema[1].name is missing"),
            std::string::npos);
}

}  // namespace
}  // namespace penstock::catalog
