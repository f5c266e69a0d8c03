#!/bin/sh
# EST (RFC 7030) with Cisco's libest: estclient fetches the CA certificates, enrolls, waits out deferrals, and
# re-enrolls with the issued certificate. The results are verified with openssl.
#
# libest requires base64 with line breaks, and Retry-After in seconds. RFC 8951 §3 allows base64 in one line, which is
# the default of estsim's sandbox. Write this line to a file such as sandbox.yaml
#
#   base64: wrapped
#
# and start the sandbox:
#
#   estsim serve sandbox.yaml --port @PORT@
#
#   sh enroll.sh TRUST.pem IDENTITY.pem
#   EST_BASIC=user:password sh enroll.sh TRUST.pem
#
# TRUST.pem     trust anchors for the server certificate; a sandbox writes them to trust.pem
# IDENTITY.pem  bootstrap credential: certificate and private key in one file; a sandbox writes one to bootstrap.pem.
#               libest sends only those intermediates that it finds in TRUST.pem
# EST_BASIC     user and password for HTTP authentication (RFC 7030 §3.2.3), instead of IDENTITY.pem. estclient takes
#               them on its command line, where other users of this machine can read them
# EST_NAME      requested common name
# EST_RUNS      maximum number of estclient runs for a deferred request, with two requests each; default 10
#
# Output in the current folder: ca.pem; the certificates first.pem, renewed.pem and second.pem; the keys first.key and
# second.key (mode 600); the output of estclient as *.log.
#
# Requires openssl, and estclient (libest 3.2: github.com/cisco/libest, example/client) on the PATH. A label in the URL
# requires a libest built with uriparser.
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

# client NAME ESTCLIENT OPTION...: run estclient once; its output goes to NAME.log, the certificates to NAME.p7.
# Common options: -s and -p, the server; --path-seg, the label (RFC 7030 §3.2.2); -o, the output folder; -w, the
# response timeout in seconds; -v, verbose output for the log. estclient trusts only the certificates in
# EST_OPENSSL_CACERT. It exits with 0 even on failure, so success is detected by its output file.
client() {
    name=$1
    shift
    rm -f cacert-0-0.pkcs7 cert-0-0.pkcs7
    EST_OPENSSL_CACERT=$trust estclient -v -s "$server" -p "$port" ${label:+--path-seg "$label"} -o . -w 60 "$@" \
        > "$name.log" 2>&1 || fail "$name: estclient exited with code $?; see $name.log"
    for file in cacert-0-0.pkcs7 cert-0-0.pkcs7; do
        [ ! -s "$file" ] || mv "$file" "$name.p7"
    done
}

# certify NAME KEY ESTCLIENT OPTION...: run estclient until the certificate is issued; write and verify NAME.pem.
# RFC 7030 §4.2.3: 202 means that the server accepted the request and has not issued the certificate yet; the client
# "MUST wait at least the specified 'retry-after' time before repeating the same request". estclient polls once, then
# exits. It is started again after the last Retry-After; the server recognises the request by its key and names.
certify() {
    certificate=$1 key=$2
    shift 2
    rm -f "$certificate.p7"
    runs=1
    client "$certificate" "$@"
    while [ ! -s "$certificate.p7" ] && deferred "$certificate"; do
        [ "$runs" -lt "$most_runs" ] ||
            fail "$certificate: still deferred after run $runs (limit: EST_RUNS)"
        runs=$((runs + 1))
        wait_s=$(told_wait "$certificate")
        say "deferred: waiting $wait_s s"
        sleep "$wait_s"
        client "$certificate" "$@"
    done
    certificates "$certificate"
    verify "$certificate" "$key"
}

# deferred NAME: whether the last response was a 202.
deferred() {
    grep 'failed with code' "$1.log" | tail -n 1 | grep -q EST_ERR_CA_ENROLL_RETRY
}

# told_wait NAME: the wait in seconds from the last Retry-After in NAME.log.
told_wait() {
    told=$(sed -n 's/.*Retry-After value = *\([0-9][0-9]*\).*/\1/p' "$1.log" | tail -n 1)
    [ -n "$told" ] || fail "$1: deferred without a Retry-After in seconds; see $1.log"
    echo "$told"
}

# certificates NAME: extract the certificates from NAME.p7 to NAME.pem.
# estclient writes the body as received: a certs-only CMS message in base64 (RFC 7030 §4.1.3, §4.2.3).
certificates() {
    [ -s "$1.p7" ] || fail "$1: estclient received no certificate; end of $1.log: $(tail -n 5 "$1.log")"
    tr -d ' \t\r\n' < "$1.p7" | openssl base64 -d -A | openssl pkcs7 -inform DER -print_certs > "$1.pem" ||
        fail "$1: $1.p7 is not a certs-only message"
    grep -q 'BEGIN CERTIFICATE' "$1.pem" || fail "$1: the message contains no certificate"
}

# verify NAME KEY: NAME.pem must match KEY and chain to the fetched CA certificates.
verify() {
    [ "$(openssl x509 -in "$1.pem" -noout -pubkey)" = "$(openssl pkey -in "$2" -pubout)" ] ||
        fail "$1.pem: the certificate does not match $2"
    openssl verify -CAfile ca.pem "$1.pem"
}

# new_key NAME: generate NAME.key. By default, estclient would generate a new RSA-4096 key at every start.
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
# From here on "$@" authenticates the client: -c and -k, certificate and key; or -u and -h, user and password.
[ $# -eq 0 ] || set -- -c "$1" -k "$1"
[ -z "${EST_BASIC:-}" ] || set -- "$@" -u "${EST_BASIC%%:*}" -h "${EST_BASIC#*:}"

# RFC 7030 §4.1.1 and §4.1.2: fetch the CA certificates. TRUST.pem authenticates the server; without it, the
# fingerprint of the root would have to be verified out of band. Client authentication is optional here, but some
# servers require it.
say "Fetching the CA certificates: estclient -g"
rm -f ca.p7
client ca -g "$@"
certificates ca

# RFC 7030 §4.2.1: first enrolment. estclient creates the PKCS#10 request for the common name and the given key (-x),
# and signs it with that key as proof of possession.
say "Enrolling: estclient -e"
new_key first
certify first first.key -e -x first.key --common-name "$common_name" "$@"

# RFC 7030 §4.2.2: re-enrolment with simplereenroll. The current certificate authenticates the client in the TLS
# handshake; libest copies its names to the request, since they must be identical. It signs with the same key, so this
# is a renewal: libest cannot rekey with simplereenroll.
say "Renewing: estclient -r"
certify renewed first.key -r -c first.pem -k first.key

# For a new key, libest enrolls again (§4.2.1), authenticated with the current certificate.
say "Enrolling with a new key: estclient -e"
new_key second
certify second second.key -e -x second.key --common-name "$common_name" -c renewed.pem -k first.key
say "Done: second.pem has the certificate, second.key its key"
