// An echo server of gorilla/websocket for our client: /echo sends everything back, /greet speaks first and closes.
// It compresses where the client offers it. Its end is that of its input.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gorilla/websocket"
)

var upgrader = websocket.Upgrader{EnableCompression: true, Subprotocols: []string{"chat"}}

func echo(connection *websocket.Conn) {
	connection.EnableWriteCompression(true)
	for {
		kind, reader, err := connection.NextReader()
		if err != nil {
			return
		}
		writer, err := connection.NextWriter(kind)
		if err != nil {
			return
		}
		// Small copies, so that long messages are fragmented.
		if _, err = io.CopyBuffer(struct{ io.Writer }{writer}, reader, make([]byte, 3000)); err != nil {
			return
		}
		if writer.Close() != nil {
			return
		}
	}
}

func greet(connection *websocket.Conn) {
	deadline := time.Now().Add(10 * time.Second)
	answered := make(chan string, 1)
	connection.SetPongHandler(func(data string) error {
		answered <- data
		return nil
	})
	connection.WriteControl(websocket.PingMessage, []byte("there?"), deadline)
	go connection.ReadMessage()
	connection.WriteMessage(websocket.TextMessage, []byte("pong: "+<-answered))
	body := websocket.FormatCloseMessage(4001, "that was all")
	connection.WriteControl(websocket.CloseMessage, body, deadline)
	time.Sleep(100 * time.Millisecond)
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
	http.HandleFunc("/echo", serve(echo))
	http.HandleFunc("/greet", serve(greet))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	go http.Serve(listener, nil)
	io.Copy(io.Discard, os.Stdin)
}
