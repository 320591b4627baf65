#!/bin/sh
# Sends each result to a Telegram chat, a bad one with a sound:
#   batch-uploader upload ... --on-finish "/etc/batch-uploader/telegram.sh /etc/batch-uploader/bot-token CHAT_ID"
# The file has the token of the bot, and only its owner can read it (chmod 600).
set -eu

token=$(cat "$1")
chat=$2
quietly=true
[ "$BATCH_UPLOADER_EXIT_CODE" -eq 0 ] || quietly=false

# The address, which has the token in it, is not an argument: others see these.
curl --fail --silent --show-error --max-time 10 --retry 2 --output /dev/null --config - \
    --data-urlencode "chat_id=$chat" \
    --data-urlencode "disable_notification=$quietly" \
    --data-urlencode "text=$BATCH_UPLOADER_SOURCE: $BATCH_UPLOADER_SUMMARY (exit code $BATCH_UPLOADER_EXIT_CODE)" <<END
url = "${TELEGRAM_API:-https://api.telegram.org}/bot$token/sendMessage"
END
