#!/bin/bash
# Ends with 0 where a model answers that a version is ready, with 1 otherwise.
#
#     probe.sh HOST PORT MODEL
#
# It needs bash alone, since the image of TensorFlow Serving has neither curl nor Python.
set -u
host=${1:?host} port=${2:?port} model=${3:?model}
exec 2>/dev/null 3<>"/dev/tcp/$host/$port" || exit 1
printf 'GET /v1/models/%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$model" "$host" >&3
timeout 5 cat <&3 | grep -q '"state": *"AVAILABLE"'
