// The model card of a version, after "Model Cards for Model Reporting" (Mitchell et al., 2019).
// What nobody recorded is said to be so; nothing is made up.
#pragma once

#include "record/document.h"
#include "record/facts.h"

namespace penstock::record {

// The YAML front matter is the model hub's: license, tags, datasets, metrics, model-index.
std::string markdown_card(const Facts& facts);
std::string html_card(const Facts& facts);

// Its parts. `number` writes at most six significant digits.
Document card_of(const Facts& facts);
std::string number(double value);
std::string grouped(std::int64_t value);  // "1,234,567"
std::string size_text(std::int64_t bytes);
Block text_block(const std::string& text);
Block warning_block(const std::string& text);
Section evaluation_data(const Facts& facts);
Section quantitative(const Facts& facts);
Section training_data(const Facts& facts);
Section features_read(const Facts& facts);
Section approvals_given(const Facts& facts);
Section releases_made(const Facts& facts);
Section cost_of_training(const Facts& facts);
Section provenance(const Facts& facts);

}  // namespace penstock::record
