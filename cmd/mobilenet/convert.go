package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/dataset"
)

func newConvert() *cobra.Command {
	var names, labels, head string
	var half bool
	var photos photoFlags
	cmd := &cobra.Command{
		Use:   "convert [flags] IN OUT",
		Short: "Convert weights between formats and naming schemes",
		Long: `Convert weights: IN is a torch checkpoint, a safetensors, Keras, ONNX or TFLite
file, or the name of published weights. A checkpoint may be a state dict of any usual naming,
alone or beside other things, a whole module or TorchScript; nothing in it is run.
What a file is shows in its content. OUT's ending says what is written:

  .safetensors  weights, with labels, config and preprocessing as metadata
  .pth, .pt     a state dict for torch.load; labels and config lie beside it in
                the file, where torch passes over them
  .onnx         an inference graph, as mobilenet export writes it by default
  .tflite       one for LiteRT, TensorFlow Lite until 2024, from normalised pixels to
                probabilities, with labels and normalisation as its metadata

  .keras        a functional model for Keras 3; .weights.h5 has the weights alone, for
                keras.applications.MobileNetV2
  FOLDER/       config.json, preprocessor_config.json and model.safetensors, for
                from_pretrained of transformers; with --names timm, for timm

All of them can be had with half the bytes: --half. What is known of the input is
written too, with what flags here say of it.`,
		Example: `  mobilenet convert mobilenet_v2-7ebf99e0.pth v2.safetensors
  mobilenet convert hf/model.safetensors tv.pth
  mobilenet convert --names timm v2.safetensors timm.safetensors
  mobilenet convert --half v2.safetensors small.safetensors
  mobilenet convert --labels names.txt model.onnx model.safetensors
  mobilenet convert --half v2.safetensors phone.tflite
  mobilenet convert best.safetensors hf/`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if names == "hf" {
				names = string(checkpoint.HuggingFace)
			}
			if err := oneOf(cmd, "names", names, namings()...); err != nil {
				return err
			}
			if head != "" {
				if err := oneOf(cmd, "head", head, "softmax", "sigmoid"); err != nil {
					return err
				}
			}
			if mobilenet.IsFolder(args[1]) && !cmd.Flags().Changed("names") {
				names = string(checkpoint.HuggingFace)
			}
			if !writable(args[1]) {
				return usagef(cmd, "%s: write what? the name ends in none of %s, and in no / for a folder", args[1], writtenEndings())
			}
			if out := strings.ToLower(args[1]); strings.HasSuffix(out, ".h5") && !strings.HasSuffix(out, ".weights.h5") && !mobilenet.IsFolder(args[1]) {
				return usagef(cmd, "%s: Keras' names end in .weights.h5 for weights alone; a whole model is a .keras file", args[1])
			}
			if err := photos.check(cmd); err != nil {
				return err
			}
			if sameFile(args[0], args[1]) {
				return usagef(cmd, "%s is IN as well: it would be written over; give OUT another name", args[1])
			}
			opts := []mobilenet.Option{mobilenet.WithProgress(downloadBar(cmd.ErrOrStderr())), mobilenet.WithInput(photos.In)}
			if labels != "" {
				l, err := dataset.ReadLabels(labels)
				if err != nil {
					return err
				}
				opts = append(opts, mobilenet.WithLabels(l))
			}
			m, err := mobilenet.LoadModel(cmd.Context(), args[0], opts...)
			if err != nil {
				return ofLabels(labels, err)
			}
			if head != "" {
				if m.Config.Classes < 2 {
					return usagef(cmd, "--head %s is for several classes: %s has %d", head, args[0], m.Config.Classes)
				}
				m.Config.Head.Sigmoid = head == "sigmoid"
			}
			sayAssumed(cmd.ErrOrStderr(), args[0], m.Assumed.List(m.Config))
			sayNotes(cmd.ErrOrStderr(), args[0], m.Notes)
			sayDequantized(cmd.ErrOrStderr(), args[0], m.Dequantized)
			if err := mobilenet.SaveModel(args[1], m, mobilenet.SaveOptions{Naming: checkpoint.Naming(names), Half: half}); err != nil {
				return err
			}
			file := args[1]
			if mobilenet.IsFolder(file) {
				file = filepath.Join(file, "model.safetensors")
			}
			info, err := os.Stat(file)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: width %v, %d classes, %.2f MB\n",
				file, m.Config.Width, m.Config.Classes, float64(info.Size())/1e6)
			return err
		},
	}
	cmd.Flags().StringVar(&names, "names", string(checkpoint.Torchvision), "names of the tensors: "+strings.Join(namings(), ", "))
	cmd.Flags().StringVar(&labels, "labels", "", "file with the names of the classes to put in OUT")
	cmd.Flags().BoolVar(&half, "half", false, "store convolutions and classifier as float16, which rounds them")
	cmd.Flags().StringVar(&head, "head", "", "what is behind the classes, where IN is weights alone: softmax, or sigmoid for several labels a photo")
	photos.register(cmd, true)
	complete(cmd, "head", "softmax", "sigmoid")
	complete(cmd, "names", namings()...)
	return cmd
}
