// What the process holds of the machine's memory.
#pragma once

namespace penstock::app {

// Start-up touches far more of the program and its libraries (relocations, constructors, tables)
// than calls do later. Their pages are files' own, so they are let go of, and what is needed comes
// back from the page cache at its first use.
void let_go_of_start_pages();

}  // namespace penstock::app
