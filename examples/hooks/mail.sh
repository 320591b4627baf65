#!/bin/sh
# Mails what needs somebody, with what status says:
#   batch-uploader upload ... --on-finish "/etc/batch-uploader/mail.sh ops@example.org"
# Needs a program `mail`. Give status the --ledger of the upload if it has one.
set -eu

to=$1
[ "$BATCH_UPLOADER_EXIT_CODE" -ne 0 ] || exit 0

{
    echo "$BATCH_UPLOADER_SUMMARY"
    echo
    batch-uploader status "$BATCH_UPLOADER_SOURCE" 2>&1 || true
} | mail -s "batch-uploader: exit code $BATCH_UPLOADER_EXIT_CODE for $BATCH_UPLOADER_SOURCE" "$to"
