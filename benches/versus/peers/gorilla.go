// gorilla/websocket: a read buffer taken over from net/http, a pool of write buffers, one write for each message
// (it has nothing to gather them in). Text is checked, which it leaves to its user.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime"
	"sync"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// As many messages as a member may be behind.
const queueMax = 1024

// The largest message a server here takes.
const payloadBytesMax = 16 * 1024 * 1024

var upgrader = websocket.Upgrader{WriteBufferPool: &sync.Pool{}, WriteBufferSize: 4096}

// What a message is read into: a connection that waits holds none.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

var room = struct {
	sync.RWMutex
	members map[chan *websocket.PreparedMessage]struct{}
}{members: map[chan *websocket.PreparedMessage]struct{}{}}

// Reads messages until the connection ends, or take says so.
func receive(connection *websocket.Conn, take func(kind int, payload []byte) error) {
	connection.SetReadLimit(payloadBytesMax)
	for {
		kind, reader, err := connection.NextReader()
		if err != nil {
			return
		}
		buffer := buffers.Get().(*bytes.Buffer)
		buffer.Reset()
		_, err = buffer.ReadFrom(reader)
		if err == nil && kind == websocket.TextMessage && !utf8.Valid(buffer.Bytes()) {
			err = websocket.ErrBadHandshake
		}
		if err == nil {
			err = take(kind, buffer.Bytes())
		}
		buffers.Put(buffer)
		if err != nil {
			return
		}
	}
}

func echo(connection *websocket.Conn) {
	receive(connection, connection.WriteMessage)
}

func chat(connection *websocket.Conn) {
	queue := make(chan *websocket.PreparedMessage, queueMax)
	gone := make(chan struct{})
	room.Lock()
	room.members[queue] = struct{}{}
	room.Unlock()
	go func() {
		defer close(gone)
		// To the end of the queue whatever happens, for whoever publishes waits where it is full.
		for message := range queue {
			if connection.WritePreparedMessage(message) != nil {
				connection.Close()
			}
		}
	}()
	receive(connection, func(kind int, payload []byte) error {
		// The payload's buffer is used again.
		message, err := websocket.NewPreparedMessage(kind, append([]byte(nil), payload...))
		if err != nil {
			return err
		}
		room.RLock()
		defer room.RUnlock()
		for member := range room.members {
			member <- message
		}
		return nil
	})
	room.Lock()
	delete(room.members, queue)
	room.Unlock()
	close(queue)
	<-gone
}

func serve(talk func(*websocket.Conn)) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		connection, err := upgrader.Upgrade(response, request, nil)
		if err != nil {
			return
		}
		defer connection.Close()
		talk(connection)
	}
}

func main() {
	port := flag.Int("port", 0, "0: any")
	threads := flag.Int("threads", 1, "that run Go code at a time")
	deflate := flag.String("deflate", "", "no-context")
	flag.Parse()
	runtime.GOMAXPROCS(*threads)
	upgrader.EnableCompression = *deflate != ""
	http.HandleFunc("/echo", serve(echo))
	http.HandleFunc("/chat", serve(chat))
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
