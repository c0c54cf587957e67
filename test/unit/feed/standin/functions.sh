# Stands in for OpenWrt's /lib/functions.sh: the configuration's readers, over the stand-in of uci.
config_load() { CONFIG_LOADED=$1; }
_is_list() { # one of several items, or made by add_list
	grep -q "^$CONFIG_LOADED\.$1\.$2='.*' '" "/etc/config/$CONFIG_LOADED" || grep -qx "$CONFIG_LOADED.$1.$2" /tmp/lists 2>/dev/null
}
config_get() {
	local value
	case $3 in *_LENGTH) value=''; ! _is_list "$2" "${3%_LENGTH}" || value=1; eval "$1=\$value"; return 0 ;; esac
	value=$(uci -q get "$CONFIG_LOADED.$2.$3")
	eval "$1=\${value:-\$4}"
}
config_foreach() {
	local section
	for section in $(sed -n "s/^$CONFIG_LOADED\.\([^.=]*\)=$2\$/\1/p" "/etc/config/$CONFIG_LOADED" 2>/dev/null); do "$1" "$section"; done
}
config_list_foreach() {
	local item
	_is_list "$1" "$2" || return 0
	for item in $(uci -q get "$CONFIG_LOADED.$1.$2"); do "$3" "$item"; done
}
