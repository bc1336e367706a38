#!/usr/bin/env bash
# Formats the C++ files, or with --check only names those that are not as .clang-format wants them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Also files that are not in git yet, but for what git ignores and what is deleted but not committed.
files() {
  git ls-files -z --cached --others --exclude-standard -- '*.cc' '*.h' | sort -zu |
    while IFS= read -rd '' file; do [[ ! -f $file ]] || printf '%s\0' "$file"; done
}

if [[ ${1:-} == --check ]]; then
  # shellcheck disable=SC2016  # expanded by the shell inside
  mapfile -t wrong < <(files | xargs -0 -r -n 1 -P "$(nproc)" \
    sh -c 'clang-format --dry-run --Werror "$0" 2>/dev/null || echo "$0"' | sort)
  if ((${#wrong[@]})); then
    printf '%s: not formatted; make format does it\n' "${wrong[@]}"
    exit 1
  fi
  echo "format: clean"
else
  files | xargs -0 -r -n 20 -P "$(nproc)" clang-format -i
fi
