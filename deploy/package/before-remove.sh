#!/bin/sh
# Run by dpkg ("remove", or "upgrade" with a version) and rpm (0, or 1 for an upgrade)
# before the files go. A running import stops and saves its state in /var/lib/segsync,
# which stays; an upgrade leaves it running.
set -e
case ${1-} in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now segsync.timer || true
		systemctl stop segsync.service || true
	fi
	;;
esac
