// Calls to language models: what lets them pass, and where their events go.
#include "api/openai/exchange.h"
#include "app/parts.h"

namespace penstock::app {

void System::Parts::make_language() {
  language_gate = std::make_unique<api::openai::Gate>(*admission);
  language = std::make_unique<api::openai::Plane>(api::openai::Plane{
      .table = serving->table(),
      .clock = clock,
      .controls = *language_gate,
      .mirrors = gateway->mirrors(),
      .put =
          [this](std::vector<serving::InferenceEvent> events) {
            telemetry->put(std::move(events), /*from_loop=*/true);
          },
      .keep = [this](serving::Payload payload) { gateway->payloads().put(std::move(payload)); }});
  graph_tools = std::make_unique<GraphTools>(*language, *gateway, *upstreams, *features);
  language->tools = graph_tools.get();
}

}  // namespace penstock::app
