// etcd and kube-apiserver in one process, on loopback, for tests.
//
// usage: kube-apiserver FOLDER 127.0.0.1:PORT [flags of kube-apiserver...]
//
// FOLDER has tokens.csv (token,user,uid,groups) beforehand, and gets addr, certs/ and all data. Port 0 takes any.
// SIGUSR1 compacts the store: what wants to go on from an earlier version is answered 410 then.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/storage/wal"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	folder := must(filepath.Abs(os.Args[1]))
	in := func(name string) string { return filepath.Join(folder, name) }
	writeSigningKey(in("sa.key"))
	compactOnSignal(startEtcd(in))

	ctx, options := genericapiserver.SetupSignalContext(), options.NewServerRunOptions()
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ExitOnError)
	for _, each := range options.Flags().FlagSets {
		flags.AddFlagSet(each)
	}
	listener := must(net.Listen("tcp", os.Args[2]))
	options.SecureServing.Listener = listener
	options.SecureServing.BindPort = listener.Addr().(*net.TCPAddr).Port
	must(0, flags.Parse(append([]string{
		"--etcd-servers=unix://" + in("client.sock"), "--cert-dir=" + in("certs"),
		"--token-auth-file=" + in("tokens.csv"), "--anonymous-auth=false", "--authorization-mode=RBAC",
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		"--service-account-issuer=https://kubernetes.test", "--service-account-key-file=" + in("sa.key"),
		"--service-account-signing-key-file=" + in("sa.key"), "--service-cluster-ip-range=10.0.0.0/24",
		"--disable-admission-plugins=ServiceAccount", "--etcd-compaction-interval=0", "--profiling=false",
	}, os.Args[3:]...)))
	must(0, options.GenericServerRunOptions.ComponentGlobalsRegistry.Set())
	completed := must(options.Complete(ctx))
	for _, err := range completed.Validate() {
		log.Fatal(err)
	}
	must(0, os.WriteFile(in("addr"), []byte(listener.Addr().String()), 0o600))
	must(0, app.Run(ctx, completed))
}

// The key outlives a restart, and so do the tokens that were signed with it.
func writeSigningKey(path string) {
	if _, err := os.Stat(path); err == nil {
		return
	}
	der := must(x509.MarshalECPrivateKey(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))))
	key := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	must(0, os.WriteFile(path, key, 0o600))
}

func startEtcd(in func(string) string) *embed.Etcd {
	socket := func(name string) []url.URL { return []url.URL{*must(url.Parse("unix://" + in(name)))} }
	config := embed.NewConfig()
	config.Dir, config.LogLevel = in("etcd"), "error"
	config.ListenClientUrls, config.ListenPeerUrls = socket("client.sock"), socket("peer.sock")
	// What was written survives the end of the process; that of the machine need not be survived.
	config.UnsafeNoFsync = true
	// One member need not wait a second for an election.
	config.TickMs, config.ElectionMs = 10, 50
	// Bookmarks of resources that do not change advance by this.
	config.WatchProgressNotifyInterval = time.Second
	// Otherwise each state folder begins with 128 MB.
	wal.SegmentSizeBytes = 1 << 20
	etcd := must(embed.StartEtcd(config))
	<-etcd.Server.ReadyNotify()
	return etcd
}

func compactOnSignal(etcd *embed.Etcd) {
	asked, client := make(chan os.Signal, 1), v3client.New(etcd.Server)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			now := must(client.Get(context.Background(), "any")).Header.Revision
			client.Compact(context.Background(), now)
		}
	}()
}
