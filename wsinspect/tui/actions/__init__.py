"""What keys do, by what they are about; `app.InspectApp` is made of these."""
