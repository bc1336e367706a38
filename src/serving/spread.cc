#include "serving/spread.h"

#include <algorithm>
#include <cmath>

namespace penstock::serving {
namespace {

constexpr double least = 1e-9, most = 1e12, width = 1.05;

std::int64_t bucket_of(double value) {
  const double far = std::min(std::fabs(value), most);
  if (far < least) return 0;
  const auto at =
      static_cast<std::int64_t>(std::floor(std::log(far / least) / std::log(width))) + 1;
  return value < 0 ? -at : at;
}

double middle_of(std::int64_t at) {
  if (at == 0) return 0;
  const double far =
      least * std::pow(width, static_cast<double>(std::abs(at)) - 1) * (1 + width) / 2;
  return at < 0 ? -far : far;
}

}  // namespace

void Spread::add(double value) {
  if (std::isnan(value)) return;
  value = std::clamp(value, -most, most);
  ++count;
  sum += value;
  squares += value * value;
  const std::int64_t at = bucket_of(value);
  const auto found =
      std::lower_bound(buckets.begin(), buckets.end(), at,
                       [](const Bucket& one, std::int64_t to) { return one.at < to; });
  if (found != buckets.end() && found->at == at)
    ++found->count;
  else
    buckets.insert(found, {at, 1});
}

std::optional<double> Spread::mean() const {
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

std::optional<double> Spread::quantile(double q) const {
  if (count == 0) return std::nullopt;
  const auto rank = std::max<std::int64_t>(
      1, static_cast<std::int64_t>(std::ceil(q * static_cast<double>(count))));
  std::int64_t seen = 0;
  for (const Bucket& bucket : buckets) {
    seen += bucket.count;
    if (seen >= rank) return middle_of(bucket.at);
  }
  return middle_of(buckets.back().at);
}

}  // namespace penstock::serving
