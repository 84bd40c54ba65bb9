-- W3C trace context of the commit that a change came with; '' where its submission was not traced.
ALTER TABLE changes ADD COLUMN trace String;
