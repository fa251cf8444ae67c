// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// A bundle is a signature with all that is needed to check it, as Sigstore's tools write and read it (version 0.3): of a file, or of a
// statement that it holds. One that was made by a key names the key; one that was made without, in a public workflow, has a certificate and the
// entry of a log instead, which cosign checks and this program does not.
// https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto
type bundle struct {
	MediaType string            `json:"mediaType"`
	Material  material          `json:"verificationMaterial"`
	Message   *messageSignature `json:"messageSignature,omitempty"`
	Envelope  *envelope         `json:"dsseEnvelope,omitempty"`
}

type material struct {
	PublicKey *keyHint `json:"publicKey,omitempty"`
}

type keyHint struct {
	Hint string `json:"hint"`
}

type messageSignature struct {
	Digest    messageDigest `json:"messageDigest"`
	Signature []byte        `json:"signature"`
}

type messageDigest struct {
	Algorithm string `json:"algorithm"`
	Digest    []byte `json:"digest"`
}

// An envelope is a DSSE envelope, https://github.com/secure-systems-lab/dsse: what is signed is the payload with its type.
type envelope struct {
	Payload     []byte      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	Sig []byte `json:"sig"`
}

const (
	bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	inToto     = "application/vnd.in-toto+json"
)

// encoded is what is signed of an envelope: DSSE's pre-authentication encoding.
func (e *envelope) encoded() []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(e.PayloadType), e.PayloadType, len(e.Payload), e.Payload)
}

// signFile makes the bundle of a file.
func signFile(key *ecdsa.PrivateKey, content []byte) (*bundle, error) {
	b, err := newBundle(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	b.Message = &messageSignature{Digest: messageDigest{Algorithm: "SHA2_256", Digest: sum[:]}}
	b.Message.Signature, err = ecdsa.SignASN1(rand.Reader, key, sum[:])
	return b, err
}

// signStatement makes the bundle of an in-toto statement.
func signStatement(key *ecdsa.PrivateKey, statement []byte) (*bundle, error) {
	b, err := newBundle(key)
	if err != nil {
		return nil, err
	}
	b.Envelope = &envelope{Payload: statement, PayloadType: inToto}
	sum := sha256.Sum256(b.Envelope.encoded())
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	b.Envelope.Signatures = []signature{{Sig: sig}}
	return b, err
}

// newBundle makes a bundle that names a key, as cosign does, by the digest of its public half.
func newBundle(key *ecdsa.PrivateKey) (*bundle, error) {
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("writing the public key: %w", err)
	}
	sum := sha256.Sum256(public)
	hint, err := json.Marshal(sum[:])
	if err != nil {
		return nil, fmt.Errorf("writing the name of the key: %w", err)
	}
	return &bundle{MediaType: bundleType, Material: material{PublicKey: &keyHint{Hint: string(hint[1 : len(hint)-1])}}}, nil
}

// verifyFile tells whether the bundle is a signature of the content, by the key.
func (b *bundle) verifyFile(key *ecdsa.PublicKey, content []byte) error {
	sum := sha256.Sum256(content)
	if b.Message == nil || !ecdsa.VerifyASN1(key, sum[:], b.Message.Signature) {
		return errors.New("it is not signed by this key")
	}
	return nil
}

// verifyStatement tells whether the key has signed the statement in the bundle.
func (b *bundle) verifyStatement(key *ecdsa.PublicKey) error {
	if b.Envelope != nil {
		sum := sha256.Sum256(b.Envelope.encoded())
		for _, s := range b.Envelope.Signatures {
			if ecdsa.VerifyASN1(key, sum[:], s.Sig) {
				return nil
			}
		}
	}
	return errors.New("it is not signed by this key")
}

func readBundle(file string) (*bundle, error) {
	text, err := os.ReadFile(file) //nolint:gosec // G304: the caller names it
	if err != nil {
		return nil, err
	}
	b := &bundle{}
	if err := json.Unmarshal(text, b); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *bundle) write(file string) error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644) //nolint:gosec // G306: a signature that everybody may read
}

// readPrivateKey reads a key as openssl writes one.
func readPrivateKey(file string) (*ecdsa.PrivateKey, error) {
	der, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if ec, ok := key.(*ecdsa.PrivateKey); ok {
		return ec, nil
	}
	return nil, fmt.Errorf("%s is no private key of ECDSA that is not encrypted: %w", file, errors.Join(err, errors.ErrUnsupported))
}

func readPublicKey(file string) (*ecdsa.PublicKey, error) {
	der, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if ec, ok := key.(*ecdsa.PublicKey); ok {
		return ec, nil
	}
	return nil, fmt.Errorf("%s is no public key of ECDSA: %w", file, errors.Join(err, errors.ErrUnsupported))
}

func readPEM(file string) ([]byte, error) {
	text, err := os.ReadFile(file) //nolint:gosec // G304: the caller names it
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s has no key in PEM", file)
	}
	return block.Bytes, nil
}
