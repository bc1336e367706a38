#include "freezes/calendar.h"

#include <algorithm>

#include <absl/time/civil_time.h>
#include <absl/time/time.h>

namespace penstock::freezes {
namespace {

constexpr std::array days = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
constexpr std::int64_t day_minutes = 24 * 60, week_minutes = 7 * day_minutes;

std::int64_t two_digits(std::string_view text) {
  for (const char letter : text)
    if (letter < '0' || letter > '9') return -1;
  return (text[0] - '0') * 10 + (text[1] - '0');
}

// Minutes since Monday 00:00; "sun 24:00" is the end of the week.
std::optional<std::int64_t> minute_of(std::string_view text) {
  if (text.size() != 9 || text[3] != ' ' || text[6] != ':') return {};
  const auto day = std::find(days.begin(), days.end(), text.substr(0, 3));
  const std::int64_t hour = two_digits(text.substr(4, 2)), minute = two_digits(text.substr(7, 2));
  if (day == days.end() || hour < 0 || minute < 0 || minute > 59 || hour > 24 ||
      (hour == 24 && minute > 0))
    return {};
  return (day - days.begin()) * day_minutes + hour * 60 + minute;
}

Timestamp timestamp_of(absl::Time time) { return Timestamp(Micros(absl::ToUnixMicros(time))); }

enum class Edge { begin, end };

Timestamp instant_of(const absl::TimeZone& zone, const absl::CivilMinute& local, Edge edge) {
  const absl::TimeZone::TimeInfo info = zone.At(absl::CivilSecond(local));
  switch (info.kind) {
    case absl::TimeZone::TimeInfo::SKIPPED: return timestamp_of(info.trans);
    case absl::TimeZone::TimeInfo::REPEATED:
      return timestamp_of(edge == Edge::begin ? info.pre : info.post);
    case absl::TimeZone::TimeInfo::UNIQUE: break;
  }
  return timestamp_of(info.pre);
}

// Every span of the weeks around `at`: from one that began two weeks ago to those of the next.
std::vector<Span> weekly_spans(const Freeze& freeze, const absl::TimeZone& zone, Timestamp at) {
  const auto now = absl::FromUnixMicros(at.time_since_epoch().count());
  const absl::CivilDay today(zone.At(now).cs);
  const absl::CivilDay monday = absl::PrevWeekday(today + 1, absl::Weekday::monday);
  std::vector<Span> spans;
  for (const Weekly& weekly : freeze.weekly) {
    const auto from = minute_of(weekly.from), until = minute_of(weekly.until);
    if (!from || !until) continue;
    const std::int64_t length = (*until - *from + week_minutes) % week_minutes;
    for (int week = -2; week <= 2; ++week) {
      const absl::CivilMinute begin = absl::CivilMinute(monday + 7 * week) + *from;
      spans.push_back(
          {instant_of(zone, begin, Edge::begin), instant_of(zone, begin + length, Edge::end)});
    }
  }
  return spans;
}

std::vector<Span> joined(std::vector<Span> spans) {
  std::sort(spans.begin(), spans.end(),
            [](const Span& a, const Span& b) { return a.from < b.from; });
  std::vector<Span> out;
  for (const Span& span : spans)
    if (out.empty() || span.from > out.back().until)
      out.push_back(span);
    else
      out.back().until = std::max(out.back().until, span.until);
  return out;
}

std::optional<Span> within(const Freeze& freeze, Span span) {
  if (freeze.from) span.from = std::max(span.from, *freeze.from);
  if (freeze.until) span.until = std::min(span.until, *freeze.until);
  if (span.from >= span.until) return {};
  return span;
}

}  // namespace

std::vector<Violation> faults_of(const Freeze& freeze) {
  std::vector<Violation> faults;
  if (freeze.weekly.empty() && !(freeze.from && freeze.until))
    faults.push_back({"from", "and until must both be said where there is no weekly time"});
  if (freeze.from && freeze.until && *freeze.from >= *freeze.until)
    faults.push_back({"until", "must be later than from"});
  for (std::size_t i = 0; i < freeze.weekly.size(); ++i) {
    const std::string path = "weekly[" + std::to_string(i) + "]";
    const auto from = minute_of(freeze.weekly[i].from), until = minute_of(freeze.weekly[i].until);
    for (const auto& [name, text, minute] : {std::tuple{".from", freeze.weekly[i].from, from},
                                             std::tuple{".until", freeze.weekly[i].until, until}})
      if (!minute)
        faults.push_back({path + name, "must be a day and a time such as fri 16:00, not " + text});
    if (from && until && *from % week_minutes == *until % week_minutes)
      faults.push_back({path + ".until",
                        "must be another time than from; for always say from and until as dates"});
  }
  absl::TimeZone zone;
  if (!absl::LoadTimeZone(freeze.time_zone, &zone))
    faults.push_back({"time_zone",
                      "must be a name of the system's time zones, such as UTC or "
                      "America/New_York, not " +
                          freeze.time_zone});
  return faults;
}

Result<std::optional<Span>> span_at(const Freeze& freeze, Timestamp at) {
  if (freeze.weekly.empty()) {
    if (freeze.from && freeze.until && at < *freeze.until)
      return std::optional(Span{*freeze.from, *freeze.until});
    return std::optional<Span>();
  }
  absl::TimeZone zone;
  if (!absl::LoadTimeZone(freeze.time_zone, &zone))
    return Error{Code::failed_precondition, "time zone " + freeze.time_zone + " of freeze " +
                                                freeze.name +
                                                " is not known on this machine; install tzdata"};
  // Before the first: the weeks in which it begins.
  const Timestamp around = freeze.from ? std::max(at, *freeze.from) : at;
  for (const Span& span : joined(weekly_spans(freeze, zone, around)))
    if (const auto found = within(freeze, span); found && at < found->until) return found;
  return std::optional<Span>();
}

}  // namespace penstock::freezes
