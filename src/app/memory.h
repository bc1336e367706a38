// What the process holds of the machine's memory.
#pragma once

namespace penstock::app {

// Start-up touches far more of the program and its libraries (relocations, constructors, tables)
// than calls do later. Their pages are files' own, so they are let go of, and what is needed comes
// back from the page cache at its first use.
void let_go_of_start_pages();

// Linux brings such pages back 16 at once, and most of the 16 are never used. Mappings of which
// much has come back are split into pages, and let go of once more (decision 0047). To be called
// now and then: what is split stays so.
void split_used_mappings();

}  // namespace penstock::app
