# Sourced by the checks: where we are, and Debian packages that a check may install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PATH="$PWD/.venv/bin:$PATH"

need_package() { # COMMAND-OR-FILE PACKAGE...
	if ! command -v "$1" >/dev/null && ! compgen -G "$1" >/dev/null; then
		echo "installing ${*:2}"
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${@:2}" >/dev/null
	fi
}

need_check_tools() { # what make check uses beside dev.lock
	python -m pip install --quiet --disable-pip-version-check -r requirements/check.txt -c requirements/dev.lock
}

unzip_list() { # FILE: the names in it; unzip may not be there
	python -m zipfile --list "$1"
}
