# shellcheck shell=bash
# Sourced by .ci/run and ./dev test --long: several commands, all of which run, whatever one of them says.
failed=()

# part NAME COMMAND…: its output, then whether it passed and its seconds.
part() {
  local name=$1 begin=$SECONDS; shift
  printf '\n== %s\n' "$name"
  if "$@"; then printf '== %s passed, %d s\n' "$name" $((SECONDS - begin)); else
    printf '== %s FAILED, %d s\n' "$name" $((SECONDS - begin))
    failed+=("$name")
  fi
}

# Says what failed; false if anything did.
parts_passed() {
  printf '\n%s: %d s, failed: %s\n' "$1" $SECONDS "${failed[*]:-nothing}"
  [ ${#failed[@]} -eq 0 ]
}
