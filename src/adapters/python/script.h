// worker.py, as a text of the program.
#pragma once

namespace penstock::python {

extern const char* const worker_script;

}  // namespace penstock::python
