#include "classification/rule_tables.h"

namespace penstock::classification {
namespace {

// Numbers of other things: check digits are not only on those of people.
const std::vector<std::string_view> other_numbers = {
    "order",  "invoice", "tracking", "serial",    "sku",   "ean",   "upc",
    "isbn",   "product", "article",  "timestamp", "epoch", "phone", "telephone",
    "mobile", "fax",     "part",     "batch",     "lot"};
const std::vector<std::string_view> identity_hints = {
    "id",    "national id", "identity", "id number", "document",       "document number",
    "ident", "personal",    "tax",      "tax id",    "identification", "national",
    "dni",   "identifier"};

Rule national_id(std::string_view id, std::string_view looks_at, Verdict (*check)(const Value&),
                 double alone, std::vector<std::string_view> names) {
  return {.id = id,
          .tag = "pii.national_id",
          .suggested = Classification::restricted,
          .looks_at = looks_at,
          .shapes = Shape::text | Shape::whole,
          .check = check,
          .specificity = 0.95,
          .alone = alone,
          .named = 0.4,
          .hinted = 0.75,
          .names = std::move(names),
          .hints = identity_hints,
          .vetoes = other_numbers};
}

}  // namespace

// `alone` says how much the check itself proves: a letter and a form of its own prove much, one
// check digit of ten or eleven needs nearly every value.
std::vector<Rule> identity_rules() {
  Rule dutch = national_id("pii.national_id.nl", "BSN: the 11-test", checks::nl_bsn, 0.95,
                           {"bsn", "burgerservicenummer", "sofinummer"});
  Rule canadian = national_id("pii.national_id.ca", "SIN: Luhn, first digit not 0 or 8",
                              checks::ca_sin, 0.95, {"sin", "social insurance number"});
  dutch.hinted = canadian.hinted = 0.9;
  // It has no check digit: without its dashes, and called an id, it is any number of nine digits.
  Rule american = national_id("pii.national_id.us", "SSN: areas, groups and serials that are given",
                              checks::us_ssn, 0.8,
                              {"ssn", "social security", "social security number", "socialsecurity",
                               "tin", "soc sec", "ss number"});
  american.hinted = 2;
  return {
      std::move(american),
      national_id("pii.national_id.uk", "NINO: letters and pairs that are given", checks::uk_nino,
                  0.5, {"nino", "national insurance", "ni number", "national insurance number"}),
      national_id("pii.national_id.de", "tax identification number: ISO 7064 MOD 11,10",
                  checks::de_tax_id, 0.8,
                  {"steuer id", "steuerid", "steueridentifikationsnummer", "idnr", "steuernummer",
                   "steuer identifikationsnummer"}),
      national_id("pii.national_id.fr", "NIR: birth month and key modulo 97", checks::fr_nir, 0.5,
                  {"nir", "insee", "securite sociale", "numero securite sociale", "num secu"}),
      national_id("pii.national_id.es", "DNI and NIE: letter modulo 23", checks::es_dni, 0.6,
                  {"dni", "nie", "nif"}),
      national_id("pii.national_id.it", "codice fiscale: month letter and control letter",
                  checks::it_fiscal_code, 0.4, {"codice fiscale", "cod fiscale", "codfisc"}),
      std::move(dutch),
      national_id("pii.national_id.br", "CPF: two check digits", checks::br_cpf, 0.7, {"cpf"}),
      national_id("pii.national_id.in", "Aadhaar: Verhoeff", checks::in_aadhaar, 0.9,
                  {"aadhaar", "aadhar", "uidai"}),
      national_id("pii.national_id.pl", "PESEL: birth date and weights", checks::pl_pesel, 0.8,
                  {"pesel"}),
      national_id("pii.national_id.se", "personal number: birth date and Luhn",
                  checks::se_personal_number, 0.7, {"personnummer", "person nummer"}),
      national_id("pii.national_id.fi", "personal identity code: birth date and modulo 31",
                  checks::fi_personal_code, 0.5, {"hetu", "henkilotunnus"}),
      std::move(canadian),
      {.id = "pii.passport",
       .tag = "pii.passport",
       .suggested = Classification::restricted,
       .looks_at = "the name and the form of a number, or a machine-readable line",
       .shapes = Shape::text | Shape::whole,
       .check = checks::passport,
       .alone = 0.8,
       .named = 0.5,
       .names = {"passport", "passport number", "passeport", "reisepass", "pasaporte", "passaporto",
                 "passnummer", "reisepassnummer", "paspoort", "passport no"},
       .vetoes = {"country", "expiry", "issued", "type", "date", "expires", "flag", "has", "valid",
                  "expiration"}},
  };
}

std::vector<Rule> money_rules() {
  return {
      {.id = "financial.card",
       .tag = "financial.card",
       .suggested = Classification::restricted,
       .looks_at = "an issuer's range and length, Luhn, and no published test number",
       .shapes = Shape::text | Shape::whole,
       .check = checks::card,
       .specificity = 0.97,
       .alone = 0.6,
       .named = 0.3,
       .hinted = 0.5,
       .names = {"card number", "credit card", "creditcard", "cc number", "ccnum", "cc num", "pan",
                 "card no", "debit card", "kartennummer", "numero carte", "tarjeta", "kreditkarte",
                 "ccn", "cardnumber", "card num", "carta credito"},
       .hints = {"card", "cc", "payment", "carte", "karte"},
       .vetoes = {"loyalty", "order", "gift", "type", "expiry", "iccid", "imei", "sim"}},
      {.id = "financial.cvv",
       .tag = "financial.cvv",
       .suggested = Classification::restricted,
       .looks_at = "the name, and three or four digits; never the digits alone",
       .shapes = Shape::text | Shape::whole,
       .check = checks::cvv,
       .named = 0.7,
       .names = {"cvv", "cvc", "cvv2", "cvc2", "card verification", "card security code",
                 "security code", "cid code", "card code", "pruefziffer karte", "kartenpruefnummer",
                 "csc", "verification value", "cryptogramme"},
       .vetoes = {"year", "age", "rate", "match", "result", "response", "check", "valid", "pass",
                  "team"}},
      {.id = "financial.iban",
       .tag = "financial.iban",
       .suggested = Classification::restricted,
       .looks_at = "a country's length and ISO 7064 MOD 97-10",
       .check = checks::iban,
       .specificity = 0.99,
       .alone = 0.3,
       .named = 0.1,
       .hinted = 0.2,
       .names = {"iban"},
       .hints = {"account", "konto", "bank", "compte", "cuenta"}},
      {.id = "financial.bic",
       .tag = "financial.bic",
       .suggested = Classification::internal,
       .looks_at = "ISO 9362: four letters, a country and a place",
       .check = checks::bic,
       .specificity = 0.9,
       .alone = 0.6,
       .named = 0.5,
       .hinted = 0.8,
       .names = {"bic", "swift", "swift code", "bic code", "swiftbic"},
       .hints = {"bank code", "bank", "bank identifier"},
       .vetoes = {"sku", "product", "model", "language"}},
      {.id = "financial.account",
       .tag = "financial.account",
       .suggested = Classification::restricted,
       .looks_at = "the name, and 6 to 17 digits, maybe grouped",
       .shapes = Shape::text | Shape::whole,
       .check = checks::account,
       .named = 0.6,
       .names = {"account number", "account no",    "acct no",        "acct number",
                 "acct num",       "bank account",  "kontonummer",    "kontonr",
                 "account num",    "sort code",     "routing number", "aba routing",
                 "numero cuenta",  "numero compte", "bban",           "rib",
                 "routing",        "bankrekening",  "rekeningnummer", "clabe",
                 "bankkonto"},
       .vetoes = {"id", "type", "status", "balance", "manager", "ledger", "created", "count"},
       .yields_to = {"financial.iban", "financial.card", "pii.national_id"}},
  };
}

}  // namespace penstock::classification
