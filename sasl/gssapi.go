package sasl

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// maxGSSToken is the most bytes of a token: a ticket that carries as many groups as Windows allows has fewer.
const maxGSSToken = 64 << 10

// The kinds of tokens of Kerberos within GSSAPI (RFC 4121, 4.1).
var (
	apRequest = []byte{1, 0}
	apReply   = []byte{2, 0}
)

// noLayer is the offer of a server, and the choice of a client: no layer of security. The size, the JDK's, is that of a buffer which nobody uses (RFC 4752, 3.3).
var noLayer = []byte{1, 1, 0, 0}

// principal is who takes part in GSSAPI, as a section of a JAAS file has it.
type principal struct {
	kerberos    *Kerberos
	name, realm string // name is service/host for a server
	keys        *keys  // nil without a keytab
	tickets     string // file of a ticket cache; empty without one
	replays     replays
}

func (p *principal) String() string { return p.name + "@" + p.realm }

// gssContext is what both sides have once they know each other: a key, and the number of the next message (RFC 4121).
type gssContext struct {
	key      types.EncryptionKey
	acceptor bool // it is the side of the server
	subkey   bool // the key is one that the acceptor has made
	sequence uint64
}

// wrap signs a message.
func (c *gssContext) wrap(message []byte) ([]byte, error) {
	kind, err := crypto.GetEtype(c.key.KeyType)
	if err != nil {
		return nil, err
	}
	t := gssapi.WrapToken{EC: uint16(kind.GetHMACBitLength() / 8), SndSeqNum: c.sequence, Payload: message}
	usage := uint32(keyusage.GSSAPI_INITIATOR_SEAL)
	if c.acceptor {
		t.Flags, usage = gssapi.MICTokenFlagSentByAcceptor, keyusage.GSSAPI_ACCEPTOR_SEAL
	}
	if c.subkey {
		t.Flags |= gssapi.MICTokenFlagAcceptorSubkey
	}
	if err := t.SetCheckSum(c.key, usage); err != nil {
		return nil, err
	}
	return t.Marshal()
}

// unwrap checks a message of the other side.
func (c *gssContext) unwrap(token []byte) ([]byte, error) {
	if len(token) > gssapi.HdrLen {
		// The signature may be in front of the message (RFC 4121, 4.2.5).
		body := token[gssapi.HdrLen:]
		turn := int(binary.BigEndian.Uint16(token[6:])) % len(body)
		token = slices.Concat(token[:gssapi.HdrLen], body[turn:], body[:turn])
	}
	var t gssapi.WrapToken
	if err := t.Unmarshal(token, !c.acceptor); err != nil {
		return nil, err
	}
	if t.Flags&gssapi.MICTokenFlagSealed != 0 {
		return nil, errors.New("the message is encrypted, where only a signature is due")
	}
	usage := uint32(keyusage.GSSAPI_ACCEPTOR_SEAL)
	if c.acceptor {
		usage = keyusage.GSSAPI_INITIATOR_SEAL
	}
	if ok, err := t.Verify(c.key, usage); err != nil || !ok {
		return nil, errors.New("the signature of the message is wrong")
	}
	return t.Payload, nil
}

// guarded runs what the library does with bytes from outside. It is made for those that a KDC has made; some that are shorter than they say make it reach beyond their end, which must
// not end the process.
func guarded[T any](step func() (T, error)) (result T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the token is broken: %v", r)
		}
	}()
	return step()
}

// gssServer is the side of GSSAPI that has a key and waits for tickets (RFC 4752, com.sun.security.sasl.gsskerb.GssKrb5Server).
type gssServer struct {
	me         *principal
	stage      func(token []byte) ([]byte, error) // what is due; nil when all is over
	context    gssContext
	peer       string
	authorized bool
}

func newGSSServer(me *principal) *gssServer {
	s := &gssServer{me: me}
	s.stage = s.accept
	return s
}

func (s *gssServer) Done() bool { return s.authorized }

func (s *gssServer) Peer() string {
	if !s.authorized {
		return ""
	}
	return s.peer
}

// Step is that of an Exchange.
func (s *gssServer) Step(token []byte) ([]byte, error) {
	if s.stage == nil {
		return nil, errOver
	}
	stage := s.stage
	s.stage = nil
	if len(token) > maxGSSToken {
		return nil, fmt.Errorf("a token of %d bytes is longer than %d", len(token), maxGSSToken)
	}
	answer, err := guarded(func() ([]byte, error) { return stage(token) })
	if err != nil {
		s.stage = nil
		return nil, err
	}
	return answer, nil
}

// accept takes a ticket, and who shows it.
func (s *gssServer) accept(token []byte) ([]byte, error) {
	message, err := cutToken(token, apRequest)
	if err != nil {
		return nil, err
	}
	var req messages.APReq
	if err := req.Unmarshal(message); err != nil {
		return nil, err
	}
	if len(req.Ticket.SName.NameString) == 0 {
		return nil, errors.New("the ticket is for nobody")
	}
	if err := s.me.strong("the ticket", req.Ticket.EncPart.EType); err != nil {
		return nil, err
	}
	table, err := s.me.keys.get()
	if err != nil {
		return nil, err
	}
	skew := s.me.kerberos.conf.LibDefaults.Clockskew
	name := types.NewPrincipalName(nametype.KRB_NT_SRV_HST, s.me.name)
	if ok, err := req.Verify(table, skew, types.HostAddress{}, &name); err != nil || !ok {
		return nil, fmt.Errorf("the ticket is not good: %w", err)
	}
	if err := s.me.replays.add(req.EncryptedAuthenticator.Cipher, 2*skew); err != nil {
		return nil, err
	}
	ticket, who := &req.Ticket.DecryptedEncPart, &req.Authenticator
	if who.Cksum.CksumType != chksumtype.GSSAPI || len(who.Cksum.Checksum) < 24 {
		return nil, errors.New("the authenticator is not one of GSSAPI")
	}
	s.peer = ticket.CName.PrincipalNameString() + "@" + ticket.CRealm
	s.context = gssContext{key: ticket.Key, acceptor: true, sequence: uint64(who.SeqNumber)}
	if len(who.SubKey.KeyValue) > 0 {
		s.context.key = who.SubKey
	}
	for what, key := range map[string]types.EncryptionKey{"the session's key": ticket.Key, "the client's key": s.context.key} {
		if err := s.me.strong(what, key.KeyType); err != nil {
			return nil, err
		}
	}
	if binary.LittleEndian.Uint32(who.Cksum.Checksum[20:])&gssapi.ContextFlagMutual == 0 {
		return s.offer(nil)
	}
	s.stage = s.offer
	var sequence [4]byte
	if _, err := rand.Read(sequence[:]); err != nil {
		return nil, err
	}
	s.context.sequence = uint64(binary.BigEndian.Uint32(sequence[:]) >> 2)
	return replyTo(who, ticket.Key, s.context.sequence)
}

// strong is an error for a key of a type that is too old: whoever breaks one is anybody.
func (p *principal) strong(what string, kind int32) error {
	if slices.Contains(encryptions, kind) {
		return nil
	}
	return fmt.Errorf("%s is of the encryption type %d, and DES and RC4 are refused: give %s keys of AES in the KDC and in its keytab, and none of the others", what, kind, p)
}

// offer says which layers of security there are.
func (s *gssServer) offer(token []byte) ([]byte, error) {
	if len(token) > 0 {
		return nil, errors.New("a token comes where there is nothing to say")
	}
	s.stage = s.choose
	return s.context.wrap(noLayer)
}

// choose takes the client's choice. The name that it would like to have is of no interest: it has the one that it has proved.
func (s *gssServer) choose(token []byte) ([]byte, error) {
	choice, err := s.context.unwrap(token)
	if err != nil {
		return nil, err
	}
	if len(choice) < len(noLayer) {
		return nil, fmt.Errorf("%w: the choice of a layer has %d bytes", ErrSilent, len(choice))
	}
	if choice[0]&noLayer[0] == 0 {
		return nil, fmt.Errorf("the client wants layer %d, which is not offered", choice[0])
	}
	s.authorized = true
	return nil, nil
}

// replyTo proves to a client that the server could read what it has shown. The library can read such a reply and not write one.
func replyTo(who *types.Authenticator, key types.EncryptionKey, sequence uint64) ([]byte, error) {
	part, err := asn1.Marshal(messages.EncAPRepPart{CTime: who.CTime, Cusec: who.Cusec, SequenceNumber: int64(sequence)})
	if err != nil {
		return nil, err
	}
	sealed, err := crypto.GetEncryptedData(asn1tools.AddASNAppTag(part, asnAppTag.EncAPRepPart), key, keyusage.AP_REP_ENCPART, 0)
	if err != nil {
		return nil, err
	}
	reply, err := asn1.Marshal(messages.APRep{PVNO: iana.PVNO, MsgType: msgtype.KRB_AP_REP, EncPart: sealed})
	if err != nil {
		return nil, err
	}
	return makeToken(apReply, asn1tools.AddASNAppTag(reply, asnAppTag.APREP))
}

// makeToken puts a message of Kerberos into a token of GSSAPI.
func makeToken(kind, message []byte) ([]byte, error) {
	oid, err := asn1.Marshal(gssapi.OIDKRB5.OID())
	if err != nil {
		return nil, err
	}
	return asn1tools.AddASNAppTag(slices.Concat(oid, kind, message), 0), nil
}

// cutToken takes the message of Kerberos out of a token of GSSAPI.
func cutToken(token, kind []byte) ([]byte, error) {
	var oid asn1.ObjectIdentifier
	rest, err := asn1.UnmarshalWithParams(token, &oid, "application,explicit,tag:0")
	if err != nil {
		return nil, fmt.Errorf("not a token of GSSAPI: %w", err)
	}
	if !oid.Equal(gssapi.OIDKRB5.OID()) {
		return nil, fmt.Errorf("a token of the mechanism %s, which is not Kerberos", oid)
	}
	if !bytes.HasPrefix(rest, kind) {
		return nil, errors.New("a token of another kind than is due")
	}
	return rest[len(kind):], nil
}

// gssClient is the side of GSSAPI that gets a ticket and shows it (com.sun.security.sasl.gsskerb.GssKrb5Client). It wants the server to prove itself.
type gssClient struct {
	me      types.PrincipalName
	realm   string
	server  string // service/host
	stage   func(token []byte) ([]byte, error)
	session types.EncryptionKey
	shown   types.Authenticator
	context gssContext
	done    bool

	undemanding bool // it does not ask the server to prove itself; for tests
}

// newGSSClient asks the KDC for a ticket, which takes as long as that takes to answer.
func newGSSClient(me *principal, server string) (*gssClient, error) {
	name, err := ParseName(server)
	if err != nil || !name.HasHost && !strings.Contains(name.Service, "/") {
		return nil, fmt.Errorf("%q is not of the form service/host", server)
	}
	server, _, _ = strings.Cut(server, "@")
	return guarded(func() (*gssClient, error) {
		kdc, err := me.client()
		if err != nil {
			return nil, err
		}
		defer kdc.Destroy()
		c := &gssClient{me: kdc.Credentials.CName(), realm: kdc.Credentials.Domain(), server: server}
		var ticket messages.Ticket
		if ticket, c.session, err = kdc.GetServiceTicket(server); err != nil {
			return nil, fmt.Errorf("no ticket for %s: %w", server, err)
		}
		if !slices.Contains(encryptions, c.session.KeyType) {
			return nil, fmt.Errorf("the ticket for %s has a key of type %d, which is too old; make keys of AES", server, c.session.KeyType)
		}
		c.stage = func([]byte) ([]byte, error) { return c.show(ticket) }
		return c, nil
	})
}

// client logs in at the KDC, or takes the tickets that somebody else has got.
func (p *principal) client() (*client.Client, error) {
	if p.keys != nil {
		table, err := p.keys.get()
		if err != nil {
			return nil, err
		}
		c := client.NewWithKeytab(p.name, p.realm, table, p.kerberos.conf)
		if err := c.Login(); err != nil {
			c.Destroy()
			return nil, fmt.Errorf("%s cannot log in: %w", p, err)
		}
		return c, nil
	}
	cache, err := credentials.LoadCCache(p.tickets)
	if err != nil {
		return nil, err
	}
	c, err := client.NewFromCCache(cache, p.kerberos.conf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.tickets, err)
	}
	return c, nil
}

func (c *gssClient) Done() bool { return c.done }

func (c *gssClient) Peer() string {
	if !c.done {
		return ""
	}
	return c.server
}

// Step is that of an Exchange.
func (c *gssClient) Step(token []byte) ([]byte, error) {
	if c.stage == nil {
		return nil, errOver
	}
	stage := c.stage
	c.stage = nil
	if len(token) > maxGSSToken {
		return nil, fmt.Errorf("a token of %d bytes is longer than %d", len(token), maxGSSToken)
	}
	answer, err := guarded(func() ([]byte, error) { return stage(token) })
	if err != nil {
		c.stage = nil
		return nil, err
	}
	return answer, nil
}

// show shows the ticket and a key for what follows.
func (c *gssClient) show(ticket messages.Ticket) ([]byte, error) {
	who, err := types.NewAuthenticator(c.realm, c.me)
	if err != nil {
		return nil, err
	}
	if err := who.GenerateSeqNumberAndSubKey(c.session.KeyType, len(c.session.KeyValue)); err != nil {
		return nil, err
	}
	who.Cksum = types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: make([]byte, 24)}
	binary.LittleEndian.PutUint32(who.Cksum.Checksum, 16) // the length of the bindings, which are all zero
	want := uint32(gssapi.ContextFlagMutual | gssapi.ContextFlagInteg)
	if c.undemanding {
		want = gssapi.ContextFlagInteg
	}
	binary.LittleEndian.PutUint32(who.Cksum.Checksum[20:], want)
	req, err := messages.NewAPReq(ticket, c.session, who)
	if err != nil {
		return nil, err
	}
	if !c.undemanding {
		types.SetFlag(&req.APOptions, flags.APOptionMutualRequired)
	}
	message, err := req.Marshal()
	if err != nil {
		return nil, err
	}
	c.shown = who
	c.context = gssContext{key: who.SubKey, sequence: uint64(who.SeqNumber)}
	if c.stage = c.believe; c.undemanding {
		c.stage = c.choose
	}
	return makeToken(apRequest, message)
}

// believe checks that the server could read the ticket.
func (c *gssClient) believe(token []byte) ([]byte, error) {
	message, err := cutToken(token, apReply)
	if err != nil {
		return nil, err
	}
	var reply messages.APRep
	if err := reply.Unmarshal(message); err != nil {
		return nil, err
	}
	plain, err := crypto.DecryptEncPart(reply.EncPart, c.session, keyusage.AP_REP_ENCPART)
	if err != nil {
		return nil, fmt.Errorf("the server does not have the key of %s: %w", c.server, err)
	}
	var part messages.EncAPRepPart
	if err := part.Unmarshal(plain); err != nil {
		return nil, err
	}
	if !part.CTime.Equal(c.shown.CTime.Truncate(time.Second)) || part.Cusec != c.shown.Cusec {
		return nil, errors.New("the server answers to another token")
	}
	if len(part.Subkey.KeyValue) > 0 {
		if !slices.Contains(encryptions, part.Subkey.KeyType) {
			return nil, fmt.Errorf("the server chooses a key of type %d, which is too old; make keys of AES", part.Subkey.KeyType)
		}
		c.context.key, c.context.subkey = part.Subkey, true
	}
	c.stage = c.choose
	return []byte{}, nil
}

// choose takes the offer of the server.
func (c *gssClient) choose(token []byte) ([]byte, error) {
	offer, err := c.context.unwrap(token)
	if err != nil {
		return nil, err
	}
	if len(offer) < len(noLayer) || offer[0]&noLayer[0] == 0 {
		return nil, errors.New("the server wants a layer of security, which there is not")
	}
	answer, err := c.context.wrap(append([]byte{noLayer[0], 0, 0, 0}, c.me.PrincipalNameString()+"@"+c.realm...))
	c.done = err == nil
	return answer, err
}
