#include "classification/rule_tables.h"

namespace penstock::classification {
namespace {

// Digests are as hard to guess as secrets and open nothing.
const std::vector<std::string_view> digests = {
    "hash",     "sha",         "md",    "digest",  "checksum", "etag",   "commit",
    "revision", "fingerprint", "count", "type",    "id",       "name",   "expires",
    "expiry",   "at",          "limit", "created", "usage",    "public", "version",
    "blob",     "trace",       "span",  "request", "date",     "length"};

Rule by_name(std::string_view id, std::string_view looks_at, Verdict (*check)(const Value&),
             std::vector<std::string_view> names, std::vector<std::string_view> vetoes) {
  return {.id = id,
          .tag = id,
          .suggested = Classification::restricted,
          .looks_at = looks_at,
          .check = check,
          .named = 0.6,
          .names = std::move(names),
          .vetoes = std::move(vetoes)};
}

}  // namespace

std::vector<Rule> secret_rules() {
  return {
      {.id = "secret.private_key",
       .tag = "secret.private_key",
       .suggested = Classification::restricted,
       .looks_at = "the first line of a private key in PEM",
       .check = checks::private_key,
       .specificity = 0.99,
       .alone = 0.02,
       .named = 0.01,
       .names = {"private key", "privkey", "ssh key", "rsa key"}},
      {.id = "secret.api_key",
       .tag = "secret.api_key",
       .suggested = Classification::restricted,
       .looks_at = "a prefix that an issuer publishes; with a telling name, what is hard to guess",
       .check = checks::api_key,
       .specificity = 0.97,
       .alone = 0.05,
       .named = 0.5,
       .names = {"api key", "apikey", "secret key", "access key", "client secret", "app secret",
                 "secret", "api secret", "api token", "consumer secret", "signing key",
                 "webhook secret", "license key", "encryption key"},
       .vetoes = digests,
       .yields_to = {"secret.jwt", "secret.private_key"}},
      {.id = "secret.jwt",
       .tag = "secret.jwt",
       .suggested = Classification::restricted,
       .looks_at = "three parts in base64url, of which two are JSON",
       .check = checks::jwt,
       .specificity = 0.99,
       .alone = 0.05,
       .named = 0.05,
       .hinted = 0.05,
       .names = {"jwt", "id token", "access token", "bearer"},
       .hints = {"token", "authorization", "session"}},
      {.id = "secret.token",
       .tag = "secret.token",
       .suggested = Classification::restricted,
       .looks_at = "the name, and texts of one piece that are hard to guess",
       .check = checks::token,
       .named = 0.6,
       .names = {"token", "access token", "refresh token", "auth token", "session token", "bearer",
                 "session key", "csrf token", "reset token", "session cookie", "cookie",
                 "otp secret", "sessionid", "session id", "jeton", "fcm token", "push token"},
       .vetoes = {"count",  "type",  "expires",  "expiry", "at",     "limit",      "created",
                  "usage",  "hash",  "name",     "max",    "prompt", "completion", "input",
                  "output", "total", "contract", "symbol", "sha",    "date",       "consent"},
       .yields_to = {"secret.jwt", "secret.api_key", "secret.private_key"}},
      {.id = "secret.password",
       .tag = "secret.password",
       .suggested = Classification::restricted,
       .looks_at = "the name, or what password hashing functions write",
       .check = checks::password,
       .specificity = 0.98,
       .alone = 0.3,
       .named = 0.6,
       .names = {"password", "passwd", "passphrase", "pwd", "passcode", "kennwort", "passwort",
                 "mot de passe", "contrasena", "password hash", "pin hash", "wachtwoord", "senha",
                 "user pass", "db pass"},
       .vetoes = {"at",       "changed",  "expires",  "expiry", "reset", "count",
                  "required", "length",   "attempts", "policy", "age",   "hint",
                  "date",     "strength", "is",       "has",    "days",  "updated",
                  "rotation", "last",     "path",     "type"}},
  };
}

std::vector<Rule> special_rules() {
  Rule icd10 = by_name(
      "health.icd10", "codes of ICD-10 with subcategories, or the name", checks::icd10,
      {"icd", "icd10", "icd code", "diagnosis code", "dx code", "dx", "diag code", "diagnosecode",
       "principal diagnosis", "diag"},
      {"version", "description", "text", "date", "count", "fault", "machine", "error", "engine"});
  icd10.alone = 0.5;
  Rule blood =
      by_name("health.blood_type", "groups and signs, O and AB among them", checks::blood_type,
              {"blood type", "blood group", "bloodtype", "blutgruppe", "groupe sanguin",
               "grupo sanguineo", "abo", "rh factor"},
              {"pressure", "test", "date"});
  blood.alone = 0.3;
  Rule gender = by_name("demographic.gender", "the name and words for genders", checks::gender,
                        {"gender", "sex", "geschlecht", "sexe", "sexo", "genero", "genere",
                         "gender identity", "geslacht", "gender code", "sesso"},
                        {"count", "ratio", "score", "pct", "share", "detection"});
  gender.suggested = Classification::confidential;
  gender.shapes = Shape::text | Shape::whole | Shape::boolean;
  gender.alone = 0.8;
  gender.named = 0.7;
  Rule ethnicity =
      by_name("demographic.ethnicity", "the name and words for peoples", checks::ethnicity,
              {"ethnicity", "ethnic", "ethnic group", "ethnie", "ethnische herkunft", "etnia",
               "race ethnicity", "hispanic"},
              {"count", "pct", "share"});
  ethnicity.named = 0.3;
  ethnicity.hinted = 0.5;
  ethnicity.alone = 0.6;
  ethnicity.hints = {"race", "origin", "background", "heritage"};
  Rule religion = by_name("demographic.religion", "the name and words for faiths", checks::religion,
                          {"religion", "religious", "faith", "konfession", "denomination",
                           "religion affiliation", "religione", "religieuse", "religiosa"},
                          {"count", "currency"});
  religion.named = 0.3;
  religion.alone = 0.6;
  Rule marital = by_name(
      "demographic.marital_status", "the name and words for it", checks::marital_status,
      {"marital", "marital status", "familienstand", "estado civil", "situation familiale",
       "etat civil", "stato civile", "civil status", "relationship status", "burgerlijke staat"},
      {"count", "date"});
  marital.suggested = Classification::confidential;
  marital.alone = 0.7;
  return {
      std::move(icd10),
      by_name("health.diagnosis", "the name and words", checks::wording,
              {"diagnosis", "diagnoses", "medical condition", "medical history", "disease",
               "diagnose", "diagnostic", "diagnostico", "comorbidity", "comorbidities", "symptoms",
               "allergy", "allergies", "disability", "medical notes", "krankheit", "maladie",
               "clinical notes", "chief complaint"},
              {"code", "icd", "date", "count", "machine", "fault", "device", "id", "at", "url",
               "port", "log", "trouble", "error"}),
      by_name("health.medication", "the name and words", checks::wording,
              {"medication", "medications", "prescription", "drug name", "prescribed drug",
               "medicament", "medicamento", "medikament", "rx name", "active substance",
               "current medications"},
              {"date", "count", "id", "cost", "price", "at"}),
      std::move(blood),
      [] {
        Rule rule = by_name(
            "health.record_number", "the name and a number", checks::record_number,
            {"mrn", "medical record number", "medical record", "patient number", "nhs number",
             "health insurance number", "krankenversichertennummer", "patient id", "health card",
             "medicare number", "npi patient", "insurance member id", "health insurance id"},
            {"count", "type", "date", "plan"});
        rule.shapes = Shape::text | Shape::whole;
        return rule;
      }(),
      std::move(gender),
      std::move(ethnicity),
      std::move(religion),
      std::move(marital),
  };
}

}  // namespace penstock::classification
