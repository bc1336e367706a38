// Health, and what the law calls special categories.
#include <string>

#include "classification/checks.h"
#include "classification/lexicon.h"
#include "classification/words.h"

namespace penstock::classification::checks {

// A letter, two digits, and the subcategory behind a dot. Without one it is also a seat or a gate.
Verdict icd10(const Value& value) {
  if (value.size() < 3 || value.size() > 8 || !is_upper(value.text[0]) || !is_digit(value.text[1]))
    return Verdict::no;
  if (!is_digit(value.text[2]) && !is_upper(value.text[2])) return Verdict::no;
  if (value.size() == 3) return Verdict::weak;
  if (value.text[3] == '.')
    return value.size() > 4 && value.dots == 1 && value.others + value.dashes + value.spaces == 0
               ? Verdict::strong
               : Verdict::no;
  return value.digits >= 3 && value.letters() <= 2 &&
                 value.digits + value.letters() == static_cast<int>(value.size())
             ? Verdict::weak
             : Verdict::no;
}

// School grades have signs too, but no O and no AB, and C.
Verdict blood_type(const Value& value) {
  if (value.size() < 2 || value.size() > 5) return Verdict::no;
  const std::string text = fold(value.text);
  const std::size_t sign = text.find_first_of("+-");
  if (sign == std::string::npos || sign + 1 != text.size()) return Verdict::no;
  const std::string_view group = std::string_view(text).substr(0, sign);
  if (group == "o" || group == "ab" || group == "0") return Verdict::strong;
  return group == "a" || group == "b" ? Verdict::weak : Verdict::no;
}

Verdict wording(const Value& value) {
  return value.letters() >= 3 && value.letters() > 2 * value.digits && value.ats == 0 &&
                 value.size() <= 2000
             ? Verdict::weak
             : Verdict::no;
}

Verdict record_number(const Value& value) {
  return value.digits >= 4 && value.size() <= 24 && value.spaces <= 2 && value.colons == 0 &&
                 value.dots <= 1
             ? Verdict::weak
             : Verdict::no;
}

// Letters alone are sizes and days too.
Verdict gender(const Value& value) {
  if (value.size() == 0 || value.size() > 24) return Verdict::no;
  if (!is_gender(fold(value.text))) return Verdict::no;
  const std::string text = fold(value.text);
  for (const std::string_view own : {"male", "female", "man", "woman", "non-binary", "nonbinary",
                                     "mannlich", "weiblich", "homme", "femme", "hombre", "mujer",
                                     "masculino", "femenino", "maschio", "femmina", "transgender"})
    if (text == own) return Verdict::strong;
  return Verdict::weak;
}

Verdict ethnicity(const Value& value) {
  if (value.letters() < 3 || value.size() > 80) return Verdict::no;
  return is_ethnicity(fold(value.text)) ? Verdict::strong : Verdict::no;
}

Verdict religion(const Value& value) {
  if (value.letters() < 3 || value.size() > 60) return Verdict::no;
  return is_religion(fold(value.text)) ? Verdict::strong : Verdict::no;
}

Verdict marital_status(const Value& value) {
  if (value.letters() < 1 || value.size() > 40) return Verdict::no;
  if (!is_marital_status(fold(value.text))) return Verdict::no;
  return value.size() > 3 ? Verdict::strong : Verdict::weak;
}

}  // namespace penstock::classification::checks
