#include "classification/countries.h"

#include <algorithm>
#include <array>

namespace penstock::classification {
namespace {

constexpr std::string_view country_codes =
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR "
    "BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ "
    "EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW "
    "GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY "
    "KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV "
    "MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY "
    "QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG "
    "TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA "
    "ZM ZW";

// Country and length, by country.
constexpr std::string_view iban_lengths =
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 "
    "DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 "
    "IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 "
    "MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 "
    "SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";

struct NumberPlan {
  std::string_view code;  // what follows the "+"
  std::size_t shortest, longest;
};
// ITU-T E.164: country codes of one and two digits with the length of their national numbers.
constexpr std::array number_plans = {
    NumberPlan{"1", 10, 10},  NumberPlan{"7", 10, 10},  NumberPlan{"20", 8, 10},
    NumberPlan{"27", 9, 9},   NumberPlan{"30", 10, 10}, NumberPlan{"31", 9, 9},
    NumberPlan{"32", 8, 9},   NumberPlan{"33", 9, 9},   NumberPlan{"34", 9, 9},
    NumberPlan{"36", 8, 9},   NumberPlan{"39", 6, 11},  NumberPlan{"40", 9, 9},
    NumberPlan{"41", 9, 9},   NumberPlan{"43", 4, 13},  NumberPlan{"44", 9, 10},
    NumberPlan{"45", 8, 8},   NumberPlan{"46", 7, 10},  NumberPlan{"47", 8, 8},
    NumberPlan{"48", 9, 9},   NumberPlan{"49", 5, 13},  NumberPlan{"51", 8, 9},
    NumberPlan{"52", 10, 11}, NumberPlan{"53", 6, 8},   NumberPlan{"54", 10, 11},
    NumberPlan{"55", 10, 11}, NumberPlan{"56", 9, 9},   NumberPlan{"57", 8, 10},
    NumberPlan{"58", 10, 10}, NumberPlan{"60", 7, 10},  NumberPlan{"61", 9, 9},
    NumberPlan{"62", 7, 12},  NumberPlan{"63", 8, 10},  NumberPlan{"64", 8, 10},
    NumberPlan{"65", 8, 8},   NumberPlan{"66", 8, 9},   NumberPlan{"81", 9, 10},
    NumberPlan{"82", 8, 10},  NumberPlan{"84", 9, 10},  NumberPlan{"86", 10, 11},
    NumberPlan{"90", 10, 10}, NumberPlan{"91", 10, 10}, NumberPlan{"92", 9, 10},
    NumberPlan{"93", 9, 9},   NumberPlan{"94", 9, 9},   NumberPlan{"95", 7, 10},
    NumberPlan{"98", 10, 10}};

struct CodeRange {
  int from, to;
};
// Country codes of three digits; their numbers have 6 to 11.
constexpr std::array three_digit_codes = {
    CodeRange{211, 213}, CodeRange{216, 216}, CodeRange{218, 218}, CodeRange{220, 258},
    CodeRange{260, 269}, CodeRange{290, 291}, CodeRange{297, 299}, CodeRange{350, 359},
    CodeRange{370, 383}, CodeRange{385, 387}, CodeRange{389, 389}, CodeRange{420, 421},
    CodeRange{423, 423}, CodeRange{500, 509}, CodeRange{590, 599}, CodeRange{670, 670},
    CodeRange{672, 683}, CodeRange{685, 692}, CodeRange{800, 800}, CodeRange{850, 850},
    CodeRange{852, 853}, CodeRange{855, 856}, CodeRange{880, 880}, CodeRange{886, 886},
    CodeRange{960, 968}, CodeRange{970, 977}, CodeRange{979, 979}, CodeRange{992, 996},
    CodeRange{998, 998}};

bool digit(char letter) { return letter >= '0' && letter <= '9'; }

}  // namespace

bool is_country(std::string_view alpha_2) {
  if (alpha_2.size() != 2 || alpha_2[0] == ' ' || alpha_2[1] == ' ') return false;
  for (std::size_t at = 0; at < country_codes.size(); at += 3)
    if (country_codes.substr(at, 2) == alpha_2) return true;
  return false;
}

std::size_t iban_length(std::string_view alpha_2) {
  for (std::size_t at = 0; at < iban_lengths.size(); at += 5)
    if (iban_lengths.substr(at, 2) == alpha_2)
      return static_cast<std::size_t>((iban_lengths[at + 2] - '0') * 10 + iban_lengths[at + 3] -
                                      '0');
  return 0;
}

bool is_e164(std::string_view digits) {
  if (digits.size() < 8 || digits.size() > 15 ||
      !std::all_of(digits.begin(), digits.end(), digit) || digits[0] == '0')
    return false;
  for (const NumberPlan& plan : number_plans) {
    if (!digits.starts_with(plan.code)) continue;
    const std::string_view national = digits.substr(plan.code.size());
    if (plan.code == "1") return national.size() == 10 && is_north_american(national);
    return national.size() >= plan.shortest && national.size() <= plan.longest;
  }
  const int code = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
  const bool known =
      std::any_of(three_digit_codes.begin(), three_digit_codes.end(),
                  [&](const CodeRange& range) { return code >= range.from && code <= range.to; });
  return known && digits.size() >= 9 && digits.size() <= 14;
}

bool is_north_american(std::string_view digits) {
  if (digits.size() != 10 || !std::all_of(digits.begin(), digits.end(), digit)) return false;
  for (const std::size_t at : {std::size_t{0}, std::size_t{3}}) {
    if (digits[at] < '2') return false;
    if (digits[at + 1] == '1' && digits[at + 2] == '1') return false;
  }
  return digits[1] != '9';
}

}  // namespace penstock::classification
