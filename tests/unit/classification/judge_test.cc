#include "classification/judge.h"

#include <gtest/gtest.h>

#include "classification/checks.h"
#include "classification/checksums.h"
#include "classification/words.h"

namespace penstock::classification {
namespace {

std::vector<Finding> judged(const std::string& name, std::vector<std::string> values,
                            const std::string& table = "records", Shape shape = Shape::text,
                            const std::vector<std::string>& columns = {}) {
  const auto rows = static_cast<std::int64_t>(values.size());
  return judge(table, columns,
               {.name = name, .shape = shape, .values = std::move(values), .rows = rows});
}

std::string tags_of(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) text += (text.empty() ? "" : " ") + finding.tag;
  return text;
}

TEST(ChecksTest, TellWhatIsValidFromWhatOnlyLooksLikeIt) {
  struct Case {
    std::string what;
    Verdict (*check)(const Value&);
    std::string value;
    Verdict verdict;
  };
  constexpr Verdict no = Verdict::no, weak = Verdict::weak, strong = Verdict::strong;
  const Case cases[] = {
      {"a mailbox", checks::email, "ana.roe+x@example.co.uk", strong},
      {"with a name", checks::email, "Ana Roe <ana@example.org>", strong},
      {"the id of a message", checks::email, "<CAF1@mail.example.org>", no},
      {"a picture", checks::email, "icon@2x.png", no},
      {"a repository", checks::email, "git@github.com:ana/roe.git", no},
      {"two marks", checks::email, "a@b@example.org", no},
      {"no domain", checks::email, "ana@localhost", no},
      {"dots in a row", checks::email, "a..b@example.org", no},
      {"a Visa card", checks::card, "4539 5787 6362 1486", strong},
      {"one digit wrong", checks::card, "4539 5787 6362 1487", no},
      {"Luhn holds, nobody issues it", checks::card, "9999999999999995", no},
      {"a published test number", checks::card, "4111111111111111", no},
      {"an IMEI", checks::card, "356938035643809", no},
      {"broken groups", checks::card, "4539--5787 6362 1486", no},
      {"an IBAN", checks::iban, "GB82 WEST 1234 5698 7654 32", strong},
      {"an IBAN in small letters", checks::iban, "de89370400440532013000", strong},
      {"too short for its country", checks::iban, "DE8937040044053201300", no},
      {"two digits exchanged", checks::iban, "GB82WEST12345698765423", no},
      {"no country", checks::iban, "ZZ82WEST12345698765432", no},
      {"a bank", checks::bic, "COBADEFFXXX", strong},
      {"a word of capitals", checks::bic, "BREAKING", weak},
      {"no country in it", checks::bic, "DOWNLOAD", no},
      {"a social security number", checks::us_ssn, "536-90-4399", strong},
      {"an area that is not given", checks::us_ssn, "666-90-4399", no},
      {"an area from 900 on", checks::us_ssn, "912-90-4399", no},
      {"the number of an advertisement", checks::us_ssn, "078-05-1120", no},
      {"a German tax number", checks::de_tax_id, "86095742719", strong},
      {"its check digit wrong", checks::de_tax_id, "86095742718", no},
      {"a French number", checks::fr_nir, "2 69 05 49 588 157 80", strong},
      {"its key wrong", checks::fr_nir, "2 69 05 49 588 157 81", no},
      {"a DNI", checks::es_dni, "12345678Z", strong},
      {"a NIE", checks::es_dni, "X1234567L", strong},
      {"its letter wrong", checks::es_dni, "12345678A", no},
      {"a codice fiscale", checks::it_fiscal_code, "RSSMRA85T10A562S", strong},
      {"its letter wrong", checks::it_fiscal_code, "RSSMRA85T10A562T", no},
      {"a BSN", checks::nl_bsn, "111222333", strong},
      {"the 11-test fails", checks::nl_bsn, "111222334", no},
      {"a CPF", checks::br_cpf, "529.982.247-25", strong},
      {"eleven ones", checks::br_cpf, "111.111.111-11", no},
      {"an Aadhaar number", checks::in_aadhaar, "2341 2341 2346", strong},
      {"Verhoeff fails", checks::in_aadhaar, "2341 2341 2347", no},
      {"a PESEL", checks::pl_pesel, "44051401359", strong},
      {"a month that is none", checks::pl_pesel, "44151401359", no},
      {"a Swedish number", checks::se_personal_number, "811218-9876", strong},
      {"a Finnish code", checks::fi_personal_code, "131052-308T", strong},
      {"its letter wrong", checks::fi_personal_code, "131052-308U", no},
      {"a SIN", checks::ca_sin, "130 692 544", strong},
      {"a NINO", checks::uk_nino, "AB 12 34 56 C", strong},
      {"a pair that is not given", checks::uk_nino, "GB123456C", no},
      {"E.164", checks::phone, "+49 30 901820", strong},
      {"a country code that is none", checks::phone, "+999 1234567", no},
      {"North America", checks::phone, "(415) 555-0132", strong},
      {"an exchange that cannot be", checks::phone, "415-155-0132", weak},
      {"a trunk prefix", checks::phone, "020 7946 0958", strong},
      {"a day", checks::phone, "2013-01-01", no},
      {"a decimal number", checks::phone, "1234567.25", no},
      {"an address of the net", checks::ip, "192.168.0.17", strong},
      {"a version", checks::ip, "1.2.3.4", weak},
      {"an octet too large", checks::ip, "1.2.3.400", no},
      {"IPv6", checks::ip, "2001:db8::8a2e:370:7334", strong},
      {"a time", checks::ip, "12:30:45", no},
      {"a MAC address", checks::mac, "00:1A:2b:3c:4d:5e", strong},
      {"mixed marks", checks::mac, "00:1A-2b:3c:4d:5e", no},
      {"an icd-10 code", checks::icd10, "E11.9", strong},
      {"a seat", checks::icd10, "A12", weak},
      {"a blood type", checks::blood_type, "AB+", strong},
      {"a grade", checks::blood_type, "C+", no},
      {"a token", checks::jwt, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3j",
       strong},
      {"a digest", checks::jwt, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
       no},
      {"an AWS key", checks::api_key, "AKIAIOSFODNN7EXAMPLE", strong},
      {"a bcrypt hash", checks::password,
       "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW", strong},
      {"a path", checks::password, "/home/app", no},
      {"a postcode", checks::postal_code, "SW1A 1AA", strong},
      {"a weight", checks::postal_code, "1200 kg", no},
      {"coordinates", checks::coordinates, "52.52001, 13.40495", strong},
      {"two prices", checks::coordinates, "1.50, 2.75", no},
  };
  for (const Case& c : cases)
    EXPECT_EQ(c.check(Value(c.value)), c.verdict) << c.what << ": " << c.value;
}

TEST(WordsTest, CutsNamesWherePeopleSeeWords) {
  EXPECT_EQ(words_of("customerEMail2"), (std::vector<std::string>{"customer", "e", "mail", "2"}));
  EXPECT_EQ(words_of("HTTPStatus_code"), (std::vector<std::string>{"http", "status", "code"}));
  EXPECT_EQ(words_of("Straße.Nr"), (std::vector<std::string>{"strasse", "nr"}));
  EXPECT_EQ(words_of("__"), std::vector<std::string>{});
  EXPECT_EQ(fold("Téléphone GRÖSSE"), "telephone grosse");
}

TEST(JudgeTest, SuggestsWithTheEvidenceForIt) {
  const auto found = judged("contact_email", {"ana@example.org", "bo@example.org", "n/a", ""});
  ASSERT_EQ(tags_of(found), "pii.email");
  EXPECT_EQ(found[0].classification, Classification::confidential);
  EXPECT_EQ(found[0].rule, "pii.email");
  EXPECT_GE(found[0].rule_version, 1);
  const Evidence& evidence = found[0].evidence;
  EXPECT_EQ(evidence.name_words, std::vector<std::string>{"email"});
  EXPECT_EQ(evidence.rows, 4);
  EXPECT_EQ(evidence.values, 3);
  EXPECT_EQ(evidence.matches, 2);
  EXPECT_EQ(evidence.strong_matches, 2);
  EXPECT_NEAR(evidence.share, 2.0 / 3, 1e-12);
  EXPECT_EQ(evidence.examples, (std::vector<std::string>{"xxx@xxxxxxx.xxx", "xx@xxxxxxx.xxx"}));
  // v = 0.99 * 2/3 * (1 + 2/3) / 2 = 0.55, n = 0.6.
  EXPECT_NEAR(found[0].confidence, 1 - (1 - 0.55) * (1 - 0.6), 1e-9);
}

TEST(JudgeTest, ShowsNoLetterAndNoDigitOfAValue) {
  EXPECT_EQ(masked("Ana-7 Müller\n1"), "Xxx-9 Xxxxxx 9");
  EXPECT_EQ(masked(std::string(100, 'a')).size(), 40u);
  for (const char* value : {"4539578763621486", "GB82WEST12345698765432", "Zoë"})
    for (const char letter : masked(value))
      EXPECT_NE(std::string("Xx9 ").find(letter), std::string::npos) << value;
}

TEST(JudgeTest, DoesNotTakeOneThingForAnother) {
  const std::vector<std::string> years{"1999", "2004", "2013", "2020", "2021"};
  const std::vector<std::string> numbers{"4155550132", "2125550101", "3125550188", "6175550142"};
  struct Trap {
    std::string what, table, name;
    std::vector<std::string> values;
    Shape shape = Shape::text;
  };
  const Trap traps[] = {
      {"years are no card codes", "cars", "model_year", years, Shape::whole},
      {"digits alone are no card codes", "cars", "c1", {"123", "456", "789"}},
      {"orders are no telephones", "orders", "order_id", numbers, Shape::whole},
      {"times are no telephones", "events", "epoch", {"1700000000", "1700000001"}, Shape::whole},
      {"versions are no addresses", "builds", "c1", {"1.2.3.4", "1.2.4.0", "2.0.0.1"}},
      {"digests are no secrets",
       "files",
       "sha256",
       {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}},
      {"ids are no secrets", "events", "uuid", {"123e4567-e89b-12d3-a456-426614174000"}},
      {"products are nobody", "products", "name", {"Oak Table", "Desk Lamp", "Wool Rug"}},
      {"airports live nowhere", "airports", "lat", {"40.63975", "33.94254"}, Shape::real},
      {"planes have no passport", "flights", "tailnum", {"N14228", "N24211", "N619AA"}},
      {"prices are no places", "orders", "price", {"12.2500", "8.9900"}, Shape::real},
      {"a country is no birthday", "people", "birth_country", {"Spain", "Peru"}},
      {"one in ten passes Luhn by chance",
       "orders",
       "reference",
       {"4539578763621486", "4539578763621487", "4539578763621488", "4539578763621489",
        "4539578763621480", "4539578763621481"}},
  };
  for (const Trap& trap : traps)
    EXPECT_EQ(
        tags_of(judged(trap.name, trap.values, trap.table, trap.shape, {trap.name, "lon", "id"})),
        "")
        << trap.what;
}

TEST(JudgeTest, LooksAtWhatStandsBesideAColumn) {
  const std::vector<std::string> degrees{"52.52001", "48.13743", "53.55108"};
  EXPECT_EQ(tags_of(judged("lat", degrees, "pings", Shape::real, {"lat", "lon"})), "pii.location");
  EXPECT_EQ(tags_of(judged("lat", degrees, "pings", Shape::real, {"lat", "height"})), "");
  EXPECT_EQ(tags_of(judged("name", {"Ada Roe", "Grace Poe"}, "customers")), "pii.name");
}

TEST(JudgeTest, LeavesTheBetterOfTwoTags) {
  EXPECT_EQ(tags_of(judged("username", {"ana@example.org", "bo@example.org"})), "pii.email");
  EXPECT_EQ(tags_of(judged("bank_account", {"DE89370400440532013000", "GB82WEST12345698765432"})),
            "financial.iban");
}

TEST(JudgeTest, SaysLittleOfAnEmptyColumn) {
  const auto named = judged("email", {});
  ASSERT_EQ(tags_of(named), "pii.email");
  EXPECT_NEAR(named[0].confidence, 0.6, 1e-9);
  EXPECT_EQ(named[0].evidence.values, 0);
  EXPECT_EQ(tags_of(judged("c1", {})), "");
}

TEST(JudgeTest, TakesAnyBytesWithoutHarm) {
  std::vector<std::string> values{std::string("\0\xff\xfe", 3),
                                  std::string(100'000, '9'),
                                  "\xC3",
                                  "\xF0\x9F\x98\x80",
                                  std::string(5'000, '@'),
                                  std::string(10'000, '.'),
                                  "<>",
                                  "+",
                                  "-----BEGIN "};
  for (int byte = 0; byte < 256; ++byte) values.emplace_back(20, static_cast<char>(byte));
  for (const Rule& rule : rules())
    for (const std::string& value : values) rule.check(Value(value));
  judged("\xff\xC3", values, "\xC5");
}

TEST(RulesTest, HaveIdsTagsAndLimitsThatMakeSense) {
  std::set<std::string_view> ids;
  for (const Rule& rule : rules()) {
    EXPECT_TRUE(ids.insert(rule.id).second) << rule.id;
    EXPECT_TRUE(rule.id.starts_with(rule.tag)) << rule.id;
    EXPECT_GE(rule.version, 1) << rule.id;
    EXPECT_FALSE(rule.looks_at.empty()) << rule.id;
    EXPECT_GE(rule.suggested, Classification::internal) << rule.id;
    EXPECT_TRUE(rule.alone <= 1 || !rule.names.empty()) << rule.id << " can never suggest anything";
  }
  EXPECT_EQ(rules_digest().size(), 64u);
}

}  // namespace
}  // namespace penstock::classification
