#!/bin/sh
# EST (RFC 7030) by hand, with Cisco's libest: its estclient fetches the CA certificates, enrolls, waits out deferrals,
# and re-enrolls with the certificate that was issued. What it left is taken apart and verified with openssl.
#
# First of all: libest reads base64 only where it is wrapped into lines, and a Retry-After only in seconds. RFC 8951 §3
# has servers send one line as they like, and estsim's sandbox does. So put this line into a file, say sandbox.yaml,
#
#   base64: wrapped
#
# and start the sandbox with it:
#
#   estsim serve sandbox.yaml --port @PORT@
#
#   sh enroll.sh TRUST.pem IDENTITY.pem
#   EST_BASIC=user:password sh enroll.sh TRUST.pem
#
# TRUST.pem     the CA certificates that the server is known by; a sandbox has them in its trust.pem
# IDENTITY.pem  who you are until the server's CA has given you a certificate: a bootstrap certificate and its key in
#               one file; a sandbox has one in its bootstrap.pem. libest sends no chain but what it finds in TRUST.pem
# EST_BASIC     a user and a password instead, for HTTP authentication (RFC 7030 §3.2.3). estclient wants them on its
#               command line, where everybody on this machine can read them while it runs
# EST_NAME      the common name to ask a certificate for
# EST_RUNS      how often to start estclient before giving up on a deferral, two requests each time; 10 unless told
#
# Everything is left in the current folder: ca.pem; first.pem, renewed.pem and second.pem, the certificates; first.key
# and second.key, readable for you alone; what estclient said, in *.log.
#
# Needs estclient (libest 3.2: github.com/cisco/libest, example/client) on the PATH, and openssl. A server with a label
# needs a libest that was built with uriparser.
set -eu
umask 077

server=@SERVER@
port=@PORT@
label=@LABEL@
common_name=${EST_NAME:-by hand}
most_runs=${EST_RUNS:-10}

say() {
    printf '%s\n' "$*"
}

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# client NAME ESTCLIENT OPTION...: run estclient once; what it says goes to NAME.log, the certificates to NAME.p7.
# The options that it always gets: -s and -p, the server; --path-seg, the label (RFC 7030 §3.2.2); -o, the folder for
# what it fetched; -w, the seconds it waits for an answer; -v, to say what happens, for the log. It trusts what the file
# in EST_OPENSSL_CACERT holds, and nothing else. It ends with 0 even where it failed: only the file it leaves tells.
client() {
    name=$1
    shift
    rm -f cacert-0-0.pkcs7 cert-0-0.pkcs7
    EST_OPENSSL_CACERT=$trust estclient -v -s "$server" -p "$port" ${label:+--path-seg "$label"} -o . -w 60 "$@" \
        > "$name.log" 2>&1 || fail "$name: estclient ended with code $?; see $name.log"
    for file in cacert-0-0.pkcs7 cert-0-0.pkcs7; do
        [ ! -s "$file" ] || mv "$file" "$name.p7"
    done
}

# certify NAME KEY ESTCLIENT OPTION...: run estclient until there is a certificate; verify it, as NAME.pem, for KEY.
# RFC 7030 §4.2.3: with 202 the server has taken the request and has no certificate yet; the client "MUST wait at least
# the specified 'retry-after' time before repeating the same request". estclient does so once, then ends. So it is
# started again, after the wait that it was told last; the server knows the request by its key and names.
certify() {
    certificate=$1 key=$2
    shift 2
    rm -f "$certificate.p7"
    runs=1
    client "$certificate" "$@"
    while [ ! -s "$certificate.p7" ] && deferred "$certificate"; do
        [ "$runs" -lt "$most_runs" ] ||
            fail "$certificate: still deferred at the end of run $runs (EST_RUNS says how many)"
        runs=$((runs + 1))
        wait_s=$(told_wait "$certificate")
        say "deferred: waiting $wait_s s"
        sleep "$wait_s"
        client "$certificate" "$@"
    done
    certificates "$certificate"
    verify "$certificate" "$key"
}

# deferred NAME: whether the last answer that estclient had was a 202.
deferred() {
    grep 'failed with code' "$1.log" | tail -n 1 | grep -q EST_ERR_CA_ENROLL_RETRY
}

# told_wait NAME: the seconds that the last Retry-After in NAME.log asks to wait.
told_wait() {
    told=$(sed -n 's/.*Retry-After value = *\([0-9][0-9]*\).*/\1/p' "$1.log" | tail -n 1)
    [ -n "$told" ] || fail "$1: deferred without a Retry-After in seconds; see $1.log"
    echo "$told"
}

# certificates NAME: the certificates in NAME.p7, as NAME.pem.
# estclient leaves the body as it came: a certs-only CMS message in base64 (RFC 7030 §4.1.3, §4.2.3).
certificates() {
    [ -s "$1.p7" ] || fail "$1: estclient got no certificate; its last words, of $1.log: $(tail -n 5 "$1.log")"
    tr -d ' \t\r\n' < "$1.p7" | openssl base64 -d -A | openssl pkcs7 -inform DER -print_certs > "$1.pem" ||
        fail "$1: $1.p7 is no certs-only message"
    grep -q 'BEGIN CERTIFICATE' "$1.pem" || fail "$1: the message holds no certificate"
}

# verify NAME KEY: NAME.pem must be for KEY, and chain to the CA certificates that were fetched.
verify() {
    [ "$(openssl x509 -in "$1.pem" -noout -pubkey)" = "$(openssl pkey -in "$2" -pubout)" ] ||
        fail "$1.pem: the certificate is for another key than $2"
    openssl verify -CAfile ca.pem "$1.pem"
}

# new_key NAME: a key as NAME.key. Left to itself, estclient would make one with RSA-4096, at every start another one.
new_key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
}

case $#${EST_BASIC:+ with a password} in
    2* | '1 with a password') ;;
    *)
        echo "usage: sh enroll.sh TRUST.pem IDENTITY.pem" >&2
        echo "   or: EST_BASIC=user:password sh enroll.sh TRUST.pem" >&2
        exit 2
        ;;
esac
command -v estclient > /dev/null || fail "expected libest's estclient on the PATH"
trust=$1
shift
# From here on "$@" is how estclient says who we are: -c and -k, certificate and key; -u and -h, user and password.
[ $# -eq 0 ] || set -- -c "$1" -k "$1"
[ -z "${EST_BASIC:-}" ] || set -- "$@" -u "${EST_BASIC%%:*}" -h "${EST_BASIC#*:}"

# RFC 7030 §4.1.1 and §4.1.2: first of all the certificates of the CA that we want one from. TRUST.pem makes the
# connection one that can be believed; without it, somebody would have to compare the fingerprint of the root with one
# that came another way. Whoever asks need not say who it is; some servers want to know even here, so we do.
say "The CA certificates: estclient -g"
rm -f ca.p7
client ca -g "$@"
certificates ca

# RFC 7030 §4.2.1: the first enrolment. estclient makes the PKCS#10 request, for the common name and with the key that
# it is given (-x), and signs it with that key: the proof that the key is ours.
say "A first certificate: estclient -e"
new_key first
certify first first.key -e -x first.key --common-name "$common_name" "$@"

# RFC 7030 §4.2.2: re-enrolment, simplereenroll. The certificate to be renewed authenticates the client, in the TLS
# handshake; libest copies its names into the request, which must be the same. It signs with the old key, so this is a
# renewal: libest has no way to rekey here.
say "The same again, renewed: estclient -r"
certify renewed first.key -r -c first.pem -k first.key

# For a certificate with a new key libest enrolls anew (§4.2.1), which the certificate in hand authenticates as well.
say "A second certificate, for a new key: estclient -e"
new_key second
certify second second.key -e -x second.key --common-name "$common_name" -c renewed.pem -k first.key
say "Done: second.pem is the certificate, second.key its key"
