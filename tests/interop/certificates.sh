# Certificates for 127.0.0.1 and localhost, and one for us, below an authority of their own. Run by run.sh.
set -eu
{
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=interop authority' -keyout ca.key -out ca.pem
    for who in server us; do
        openssl req -newkey rsa:2048 -nodes -subj "/CN=$who.example" -keyout $who.key -out $who.csr
        echo 'subjectAltName=DNS:localhost,IP:127.0.0.1' >ext
        openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out $who.pem
    done
    cat us.pem us.key >us-both.pem
} 2>/dev/null
chmod 644 ./*.pem ./*.key
