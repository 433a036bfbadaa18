// The driver runs the checks of the lines of standard input, and prints the outcome of each.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"driver/lastlogout"
)

type options struct {
	URL            string
	Key            string
	TimeoutSeconds time.Duration
	Namespace      string
}

func main() {
	clients := map[options]*lastlogout.Client{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var line struct {
			options
			Claims map[string]any
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			panic(err)
		}
		client := clients[line.options]
		if client == nil {
			client = lastlogout.New(line.URL, line.Key)
			client.Namespace = line.Namespace
			if line.TimeoutSeconds != 0 {
				client.Timeout = line.TimeoutSeconds * time.Second
			}
			clients[line.options] = client
		}
		fmt.Println(client.Check(context.Background(), line.Claims))
	}
}
