#!/bin/sh
# Run a program ($1), which must succeed and print what a file ($2) holds.
said=$("$1") || exit 1
printf '%s\n' "$said" | diff -u "$2" -
