#!/usr/bin/env bash
# Formats the C++ files, or with --check only says which are not as .clang-format wants them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
action=(-i)
[[ ${1:-} == --check ]] && action=(--dry-run --Werror)
# Also files that are not committed yet, but for what git ignores and what is deleted but not committed.
git ls-files -z --cached --others --exclude-standard -- '*.cc' '*.h' | sort -zu |
  while IFS= read -rd '' file; do [[ -f $file ]] && printf '%s\0' "$file"; done |
  xargs -0 -r -n 40 -P "$(nproc)" clang-format "${action[@]}"
